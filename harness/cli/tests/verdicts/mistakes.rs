//! The usual mistakes, each in a case that expects nothing but that the secret is read: what is said must name the object
//! and what to change on it.

use std::collections::BTreeMap;

use libtest_mimic::{Completion, Failed};

use super::found;

/// A set-up without a mistake.
const GOOD: &str = r#"title: my pod reads its secret
requirements: [LIE-1]
mutants: [entra/refuses-everything]
needs: [webhook, runs-pods]
given:
  azure:
    identities:
      app1: { federated: [ { subject: "system:serviceaccount:{{namespace}}:reader" } ] }
      other: { federated: [ { subject: "system:serviceaccount:somewhere:else" } ] }
    vaults:
      kv1: { secrets: { s: "{{random}}" }, access: [ { to: app1, secrets: [get] } ] }
  cluster:
    - service-account: { name: reader, annotations: { azure.workload.identity/client-id: "{{app1.client-id}}" } }
when:
  - create-pod:
      name: quick-start
      image: quickstart/rust
      service-account: reader
      labels: { azure.workload.identity/use: "true" }
      env: { KEYVAULT_URL: "{{kv1.url}}", SECRET_NAME: s }
then:
  - secret-read: { by: quick-start, vault: kv1, secret: s, outcome: allowed }
"#;

const LABEL: &str = "labels: { azure.workload.identity/use: \"true\" }";
const ACCOUNT: &str = "annotations: { azure.workload.identity/client-id: \"{{app1.client-id}}\" }";
const SUBJECT: &str = "{ subject: \"system:serviceaccount:{{namespace}}:reader\" }";

/// A mistake: its name, what is written instead of what, what must be said, and the hop.
type Mistake = (&'static str, &'static [(&'static str, &'static str)], &'static str);

const MISTAKES: &[Mistake] = &[
    (
        "label-missing",
        &[(LABEL, "labels: { app: x }")],
        "pod quick-start has no label azure.workload.identity/use (its only labels: app)",
    ),
    (
        "label-value",
        &[(LABEL, "labels: { azure.workload.identity/use: \"yes\" }")],
        "pod quick-start has label azure.workload.identity/use: \"yes\"",
    ),
    (
        "label-on-account",
        &[
            (LABEL, "labels: {}"),
            (
                ACCOUNT,
                "labels: { azure.workload.identity/use: \"true\" }, annotations: { azure.workload.identity/client-id: \"{{app1.client-id}}\" }",
            ),
        ],
        "label azure.workload.identity/use is on ServiceAccount reader, where it has no effect",
    ),
    (
        "account-not-named",
        &[("      service-account: reader\n", "")],
        "pod quick-start names no ServiceAccount, so it runs as `default`",
    ),
    (
        "client-id-missing",
        &[(ACCOUNT, "annotations: { a: b }")],
        "ServiceAccount reader has no annotation azure.workload.identity/client-id (only a)",
    ),
    (
        "client-id-misspelt",
        &[("identity/client-id:", "identity/client_id:")],
        "ServiceAccount reader has annotation azure.workload.identity/client_id, which has no effect",
    ),
    (
        "client-id-of-another",
        &[("{{app1.client-id}}", "{{other.client-id}}")],
        "is the client id of other, which does not trust",
    ),
    (
        "principal-id-instead",
        &[("{{app1.client-id}}", "{{app1.principal-id}}")],
        "is the object (principal) id of app1, not its client id",
    ),
    (
        "subject-wrong",
        &[("serviceaccount:{{namespace}}:reader", "serviceaccount:default:reader")],
        "subject: registered `system:serviceaccount:default:reader`",
    ),
    (
        "issuer-wrong",
        &[(SUBJECT, "{ subject: \"system:serviceaccount:{{namespace}}:reader\", issuer: \"{{cluster.issuer}}/\" }")],
        "(registered has extra `/` at the end)",
    ),
    (
        "audience-wrong",
        &[(
            SUBJECT,
            "{ subject: \"system:serviceaccount:{{namespace}}:reader\", audience: \"api://azureADTokenExchange\" }",
        )],
        "only in letter case, first at character 7: `a` for `A`",
    ),
    (
        "tenant-wrong",
        &[(
            ACCOUNT,
            "annotations: { azure.workload.identity/client-id: \"{{app1.client-id}}\", azure.workload.identity/tenant-id: 11111111-2222-3333-4444-555555555555 }",
        )],
        "AZURE_TENANT_ID is 11111111-2222-3333-4444-555555555555",
    ),
    ("rights-to-another", &[("to: app1", "to: other")], "has no right on vault kv1; other has"),
    ("secret-name-wrong", &[("SECRET_NAME: s", "SECRET_NAME: nothing")], "vault kv1 has no secret `nothing`; it has s"),
];

pub(super) fn scenarios() -> Vec<(String, String, Option<&'static str>)> {
    let good = ("mistakes/none".to_owned(), GOOD.to_owned(), None);
    let wrong = MISTAKES.iter().map(|(name, changes, told)| {
        let text = changes.iter().fold(GOOD.to_owned(), |text, (right, wrong)| {
            assert!(text.contains(right), "{name}: {right}");
            text.replacen(right, wrong, 1)
        });
        (format!("mistakes/{name}"), text, Some(*told))
    });
    std::iter::once(good).chain(wrong).collect()
}

/// Each mistake has a first line of its own and says what to do.
pub(super) fn told_apart(output: &str) -> Result<Completion, Failed> {
    let mut lines = BTreeMap::new();
    for (name, ..) in MISTAKES {
        let id = format!("mistakes/{name}");
        let Some((line, section)) = found(output, &id) else { return Err(format!("{id} did not run").into()) };
        if line.contains("ignored") {
            return Ok(Completion::ignored_with("pods cannot run here"));
        }
        let of = |word: &str| section.lines().find_map(|line| line.trim_start().strip_prefix(word)).unwrap_or_default();
        let (observed, advice, again) = (of("observed  "), of("advice    "), of("again     "));
        if observed.is_empty() || advice.is_empty() {
            return Err(format!("{id} does not say what is wrong and what to do: {section}").into());
        }
        if !again.starts_with("cargo test -p wi-conformance --test verdicts -- --exact ") {
            return Err(format!("{id} cannot be run again by: {again}").into());
        }
        let masked: String = observed.chars().filter(|c| !c.is_ascii_hexdigit() && *c != '-').collect();
        if let Some(other) = lines.insert(masked, name) {
            return Err(format!("{other} and {name} are told alike: {observed}").into());
        }
    }
    Ok(Completion::Completed)
}
