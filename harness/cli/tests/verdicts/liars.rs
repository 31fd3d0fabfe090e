//! Pods that lie: each prints documents of a quick-start that do not tell what happened, and its scenario, which an honest pod
//! passes, must fail for that reason.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::ExitCode;

use serde_json::{Value, json};
use wi_conformance::Program;

/// First argument of a process that is a liar.
const LIE: &str = "--lie";

const EXCHANGE: &str = "exchange: { by: liar, as: app1, outcome: granted, within: 4s }";
const READ: &str = "secret-read: { by: liar, vault: kv1, secret: s, outcome: allowed, within: 4s }";
const REFUSED: &str = "exchange: { by: liar, outcome: { refused: AADSTS700213 }, within: 4s }";
const NOT_CONFIGURED: &str = "exchange: { by: liar, outcome: { not-configured: AZURE_CLIENT_ID }, within: 4s }";
const NOT_ATTEMPTED: &str = "secret-read: { by: liar, vault: kv1, secret: s, outcome: not-attempted, within: 4s }";

/// What a liar prints, made of the lines that an honest run printed.
type Lie = fn(&mut Vec<String>, &mut Session);

/// A liar: its name, what is expected of it, what must be said of it; nothing of one that tells the truth.
const LIARS: &[(&str, &str, Option<&str>, Lie)] = &[
    ("honest", READ, None, |_, _| {}),
    ("honest-twice", READ, None, |lines, session| lines.extend(session.another_round())),
    ("other-pods-token", EXCHANGE, Some("kubernetes.io pod uid"), |lines, _| {
        edit(lines, "token", |said| said["claims"]["kubernetes.io"]["pod"]["uid"] = json!("another"));
    }),
    ("other-pods-grant", EXCHANGE, Some("recorded no such grant"), |lines, _| {
        edit(lines, "exchange", |said| said["claims"]["uti"] = json!("another"));
    }),
    ("granted-never-asked", EXCHANGE, Some("recorded no such grant"), |lines, session| {
        session.forget_what_was_done(lines);
    }),
    ("refused-never-asked", REFUSED, Some("recorded no such refusal"), |lines, session| {
        session.forget_what_was_done(lines);
        lines.truncate(3);
        lines.push(line(1, "exchange", &json!({ "outcome": "refused", "status": 401, "error": "invalid_client", "code": "AADSTS700213", "message": "no" })));
        lines.push(line(1, "end", &json!({ "outcome": "not-read", "at": "exchange" })));
    }),
    ("read-never-made", READ, Some("the vault recorded no such answer"), |lines, session| session.claim_a_read(lines)),
    ("read-of-another-version", READ, Some("the vault recorded no such answer"), |lines, _| {
        edit(lines, "secret-read", |said| said["version"] = json!("0123456789abcdef0123456789abcdef"));
    }),
    ("exchange-kept-quiet", NOT_CONFIGURED, Some("the identity provider recorded a request"), |lines, _| {
        lines.truncate(3);
        lines.push(line(
            1,
            "exchange",
            &json!({ "outcome": "failed", "kind": "configuration", "message": "AZURE_CLIENT_ID" }),
        ));
        lines.push(line(1, "end", &json!({ "outcome": "not-read", "at": "exchange" })));
    }),
    ("read-kept-quiet", NOT_ATTEMPTED, Some("the vault answered 200"), |lines, _| {
        lines.retain(|line| !line.contains("\"secret-read\"") && !line.starts_with("Your secret"));
    }),
    ("second-exchange-kept-quiet", EXCHANGE, Some("that no container claims"), |_, session| {
        session.do_it_once_more_in_silence();
    }),
    ("earlier-round", READ, Some("recorded but claimed twice"), |lines, _| {
        let mut again = lines.clone();
        for text in again.iter_mut().filter(|text| text.contains("\"quickstart\"")) {
            *text = text.replace("\"round\":1", "\"round\":2");
        }
        lines.extend(again);
    }),
    ("earlier-round-by-its-number", READ, Some("round 1 begins; expected round 2"), |lines, _| {
        lines.extend(lines.clone())
    }),
    ("kept-token-never-granted", EXCHANGE, Some("claims a cached access token"), |lines, _| {
        edit(lines, "exchange", |said| said["cached"] = json!(true));
    }),
    ("document-after-end", READ, Some("after `end`"), |lines, _| {
        let read = lines.iter().find(|line| line.contains("\"secret-read\"")).cloned();
        lines.extend(read);
    }),
    ("truncated-line", READ, Some("an invalid document"), |lines, _| {
        let last = lines.last_mut().expect("a line");
        last.truncate(30);
    }),
    ("two-in-one-line", READ, Some("an invalid document"), |lines, _| {
        let second = lines.remove(2);
        lines[1].push_str(&second);
    }),
    ("one-within-another", READ, Some("an invalid document"), |lines, _| {
        let second = lines.remove(2);
        lines[1].insert_str(40, &second);
    }),
    ("key-that-stands-twice", READ, Some("stands twice"), |lines, _| {
        let read = lines.iter_mut().find(|line| line.contains("\"secret-read\"")).expect("a read");
        *read = read.replace("\"outcome\":", "\"outcome\":\"forbidden\",\"outcome\":");
    }),
    ("ten-megabytes-in-a-document", READ, Some("bytes long"), |lines, _| {
        edit(lines, "given", |said| said["padding"] = "a".repeat(10_000_000).into());
    }),
    ("ten-megabytes-beside-documents", READ, Some("bytes long"), |lines, _| lines.insert(1, "a".repeat(10_000_000))),
    ("documents-out-of-order", READ, Some("after `exchange`"), |lines, _| lines.swap(2, 3)),
    ("documents-without-a-beginning", READ, Some("before any `given`"), |lines, _| _ = lines.remove(1)),
];

/// What more a liar can do than edit what it prints.
struct Session {
    env: BTreeMap<String, String>,
    runtime: tokio::runtime::Runtime,
    /// Whether the honest run was held back, so that nothing was asked.
    asked: bool,
}

impl Session {
    fn run(&self, env: BTreeMap<String, String>) -> Vec<String> {
        let mut printed = Vec::new();
        let _ = self.runtime.block_on(wi_quickstart::run(env, &mut printed));
        String::from_utf8_lossy(&printed).lines().map(str::to_owned).collect()
    }

    /// A second process does it all again, whose rounds are numbered on.
    fn another_round(&self) -> Vec<String> {
        let lines = self.run(self.env.clone());
        lines.into_iter().skip(1).map(|line| line.replace("\"round\":1", "\"round\":2")).collect()
    }

    fn do_it_once_more_in_silence(&self) {
        let _ = self.run(self.env.clone());
    }

    /// All that an honest pod would print, though nothing was asked.
    fn forget_what_was_done(&self, lines: &mut Vec<String>) {
        assert!(!self.asked);
        lines.truncate(3);
        let claims = json!({ "tid": self.env["AZURE_TENANT_ID"], "appid": self.env["AZURE_CLIENT_ID"], "oid": self.env["OBJECT_ID"], "uti": "made-up" });
        lines.push(line(
            1,
            "exchange",
            &json!({ "outcome": "granted", "claims": claims, "sha256": "00", "cached": false }),
        ));
        lines.push(self.read());
        lines.push(format!("Your secret is {}", self.env["KNOWN_VALUE"]));
        lines.push(line(1, "end", &json!({ "outcome": "read" })));
    }

    /// A read that was never made, by one who knows the value from elsewhere.
    fn claim_a_read(&self, lines: &mut Vec<String>) {
        lines.retain(|line| {
            !line.contains("\"secret-read\"") && !line.contains("\"end\"") && !line.starts_with("Your secret")
        });
        lines.push(self.read());
        lines.push(format!("Your secret is {}", self.env["KNOWN_VALUE"]));
        lines.push(line(1, "end", &json!({ "outcome": "read" })));
    }

    fn read(&self) -> String {
        let value = &self.env["KNOWN_VALUE"];
        let hash = wi_model::secret::sha256_hex(value.as_bytes());
        let vault = self.env["VAULT"].trim_end_matches('/');
        line(
            1,
            "secret-read",
            &json!({ "outcome": "allowed", "vault": vault, "secret": "s", "version": null, "value-sha256": hash, "length": value.len() }),
        )
    }
}

/// A document as a quick-start prints it.
fn line(round: u64, event: &str, fields: &Value) -> String {
    let mut document = json!({ "quickstart": 1, "round": round, "event": event });
    let fields = fields.as_object().cloned().unwrap_or_default();
    document.as_object_mut().expect("an object").extend(fields);
    document.to_string()
}

/// Changes the document of an event.
fn edit(lines: &mut [String], event: &str, change: impl Fn(&mut Value)) {
    for text in lines {
        if let Ok(mut document) = serde_json::from_str::<Value>(text)
            && document["event"] == event
        {
            change(&mut document);
            *text = document.to_string();
        }
    }
}

fn lie(name: &str) -> ExitCode {
    use std::io::Write as _;

    let (_, _, _, lie) = LIARS.iter().find(|(known, ..)| *known == name).expect("a liar of the table");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let env: BTreeMap<String, String> = std::env::vars().collect();
    // Who has no vault to ask reads nothing, and who has no client id does not even exchange.
    let mut given = env.clone();
    let asked = !name.ends_with("never-asked");
    if !asked {
        given.insert("AZURE_FEDERATED_TOKEN_FILE".into(), env["AZURE_FEDERATED_TOKEN_FILE"].clone());
    }
    if name == "read-never-made" {
        given.remove("KEYVAULT_URL");
    }
    let mut session = Session { env, runtime, asked };
    let mut lines = if asked { session.run(given) } else { first_lines(&session.env) };
    lie(&mut lines, &mut session);
    let mut out = std::io::stdout().lock();
    let written = out.write_all(lines.join("\n").as_bytes());
    // A line that is cut off has no end.
    let written = if name == "truncated-line" { written } else { written.and_then(|()| out.write_all(b"\n")) };
    written.and_then(|()| out.flush()).map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS)
}

/// What a quick-start prints before it asks anybody: it looks at its token alone.
fn first_lines(env: &BTreeMap<String, String>) -> Vec<String> {
    let token = std::fs::read(&env["AZURE_FEDERATED_TOKEN_FILE"]).expect("the projected token");
    let text = String::from_utf8_lossy(&token).into_owned();
    let part = |index: usize| -> Value {
        use base64::Engine as _;
        let bytes =
            base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text.split('.').nth(index).unwrap_or_default());
        serde_json::from_slice(&bytes.expect("base64")).expect("JSON")
    };
    vec![
        "START".to_owned(),
        line(1, "given", &json!({ "again": null })),
        line(
            1,
            "token",
            &json!({ "header": part(0), "claims": part(1), "sha256": wi_model::secret::sha256_hex(&token) }),
        ),
    ]
}

/// The scenarios, one for each liar and some of several containers: id, text, what must be said.
pub(super) fn scenarios() -> Vec<(String, String, Option<&'static str>)> {
    let mut all = Vec::new();
    let env = "env: { KEYVAULT_URL: \"{{kv1.url}}\", VAULT: \"{{kv1.url}}\", SECRET_NAME: s, KNOWN_VALUE: \"{{random}}\", OBJECT_ID: \"{{app1.principal-id}}\" }";
    for (name, then, told, _) in LIARS {
        let mut text = head(name);
        let _ = write!(
            text,
            "  - create-pod:\n      name: liar\n      image: liars/{name}\n      service-account: reader\n      labels: {{ azure.workload.identity/use: \"true\" }}\n      {env}\nthen:\n  - {then}\n"
        );
        all.push((format!("lies/{name}"), text, *told));
    }
    let env = "env: [ { name: KEYVAULT_URL, value: \"{{kv1.url}}\" }, { name: SECRET_NAME, value: s } ]";
    let wrong = "{ name: AZURE_CLIENT_ID, value: 00000000-0000-0000-0000-000000000000 }";
    for (name, told, init, containers) in pods() {
        let mut text = head(name);
        text.push_str(POD);
        for (list, named) in [("initContainers", init), ("containers", containers)] {
            if !named.is_empty() {
                let _ = writeln!(text, "            {list}:");
            }
            for (container, image) in *named {
                let env =
                    if *container == "wrong" { env.replace("[ {", &format!("[ {wrong}, {{")) } else { env.to_owned() };
                let _ = writeln!(
                    text,
                    "              - {{ name: {container}, image: {image}, {env}, volumeMounts: [ {{ name: shared, mountPath: /shared }} ] }}"
                );
            }
        }
        let _ = writeln!(text, "then:\n  - {READ}");
        all.push((format!("lies/{name}"), text, *told));
    }
    all
}

/// A pod without its containers.
const POD: &str = r#"  - apply:
      objects:
        - apiVersion: v1
          kind: Pod
          metadata: { name: liar, labels: { azure.workload.identity/use: "true" } }
          spec:
            serviceAccountName: reader
            restartPolicy: Never
            volumes: [ { name: shared, emptyDir: {} } ]
"#;

type Containers = &'static [(&'static str, &'static str)];

/// Pods of several containers: name, what must be said, init containers, containers.
fn pods() -> &'static [(&'static str, Option<&'static str>, Containers, Containers)] {
    &[
        ("two-honest-containers", None, &[], &[("one", "quickstart/rust"), ("two", "quickstart/rust")]),
        ("one-beside-a-pause", None, &[], &[("one", "quickstart/rust"), ("two", "quickstart/pause")]),
        (
            "right-init-wrong-app",
            Some("container wrong: "),
            &[("migrate", "quickstart/rust")],
            &[("wrong", "quickstart/rust")],
        ),
        (
            "right-first-wrong-second",
            Some("container wrong: "),
            &[],
            &[("app", "quickstart/rust"), ("wrong", "quickstart/rust")],
        ),
        (
            "wrong-first-right-second",
            Some("container wrong: "),
            &[],
            &[("wrong", "quickstart/rust"), ("z", "quickstart/rust")],
        ),
        (
            "prints-what-another-did",
            Some("recorded but claimed twice"),
            &[("migrate", "liars/leaves-its-log")],
            &[("copy", "liars/prints-that-log")],
        ),
        (
            "silent-beside-honest",
            Some("that no container claims"),
            &[],
            &[("app", "quickstart/rust"), ("quiet", "liars/quiet")],
        ),
    ]
}

/// What every scenario here begins with.
const HEAD: &str = r#"title: NAME
requirements: [LIE-1]
mutants: [entra/refuses-everything]
needs: [webhook, runs-pods, request-journal]
given:
  azure:
    identities:
      app1: { federated: [ { subject: "system:serviceaccount:{{namespace}}:reader" } ] }
    vaults:
      kv1: { secrets: { s: "{{random}}" }, access: [ { to: app1, secrets: [get] } ] }
  cluster:
    - service-account: { name: reader, annotations: { azure.workload.identity/client-id: "{{app1.client-id}}" } }
when:
"#;

fn head(name: &str) -> String {
    HEAD.replace("NAME", name)
}

/// Programs of pods with several containers.
fn together(name: &str) -> Option<ExitCode> {
    const LOG: &str = "/shared/log";
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut printed = Vec::new();
    let mut run = || _ = runtime.block_on(wi_quickstart::run(std::env::vars().collect(), &mut printed));
    match name {
        "leaves-its-log" => {
            run();
            std::fs::write(LOG, &printed).expect("the shared volume");
        }
        "prints-that-log" => printed = std::fs::read(LOG).expect("the shared volume"),
        "quiet" => {
            run();
            printed.clear();
        }
        _ => return None,
    }
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    Some(out.write_all(&printed).and_then(|()| out.flush()).map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS))
}

/// The images that stand for liars.
pub(super) fn images() -> Vec<(String, Program)> {
    let this = std::env::current_exe().expect("this program");
    let names = LIARS.iter().map(|(name, ..)| *name).chain(["leaves-its-log", "prints-that-log", "quiet"]);
    names.map(|name| (format!("liars/{name}"), Program::new(&this).arg(LIE).arg(name))).collect()
}

/// Becomes a liar, where these are the words of one.
pub(super) fn become_one(mut words: impl Iterator<Item = String>) -> Option<ExitCode> {
    if words.next()? != LIE {
        return None;
    }
    let name = words.next().unwrap_or_default();
    Some(together(&name).unwrap_or_else(|| lie(&name)))
}
