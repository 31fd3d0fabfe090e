//! The way from a pod to its secret, looked at from its beginning: the first hop that broke is the one to mend, and what it
//! says names the objects of the case.

use serde_json::Value;

use super::differs::{differs, is_near};
use super::voice::Voice;
use super::{exchange, text};
use crate::evidence::{Credential, Facts};
use crate::injection::{self, AUDIENCE};
use crate::verdict::{Difference, Hop};

/// The label and the annotation that people misspell.
const USE_LABEL: &str = "azure.workload.identity/use";
const CLIENT_ID: &str = "azure.workload.identity/client-id";
const TENANT_ID: &str = "azure.workload.identity/tenant-id";

/// What broke first on the way to something that should have been granted; what is already told where nothing before it did.
pub(super) fn first_broken(voice: &Voice<'_>, facts: &Facts, told: Difference) -> Difference {
    if voice.pod.own || told.hop < Hop::Pod {
        return told;
    }
    type Look = fn(&Voice<'_>, &Facts) -> Option<Difference>;
    let hops: [(Hop, Look); 4] =
        [(Hop::Admission, not_injected), (Hop::Token, no_token), (Hop::Exchange, not_granted), (Hop::Secret, not_read)];
    let mut before = hops.into_iter().filter(|(hop, _)| *hop <= told.hop);
    before.find_map(|(_, look)| look(voice, facts)).unwrap_or(told)
}

/// Admission left something out that the program needs.
fn not_injected(voice: &Voice<'_>, facts: &Facts) -> Option<Difference> {
    let exchange = voice.document("exchange")?;
    if exchange["outcome"] != "failed" || exchange["kind"] != "configuration" {
        return None;
    }
    let pod = voice.pod.stored.as_ref()?;
    let container = injection::containers(pod).into_iter().find(|found| found.name == voice.container)?;
    let has = |variable: &str| container.env.get(variable).is_some_and(|value| *value != Some(""));
    if !has("AZURE_FEDERATED_TOKEN_FILE") {
        return Some(left_alone(voice, pod));
    }
    if !has("AZURE_CLIENT_ID") {
        return Some(without_client_id(voice, pod, facts));
    }
    let missing = ["AZURE_TENANT_ID", "AZURE_AUTHORITY_HOST"].into_iter().find(|variable| !has(variable))?;
    let advice =
        format!("check the webhook's settings and annotation {TENANT_ID} of the ServiceAccount, which set {missing}");
    Some(Difference::at(Hop::Admission, format!("{missing} in the container"), "not there").advise(advice))
}

/// The webhook did nothing to the pod.
fn left_alone(voice: &Voice<'_>, pod: &Value) -> Difference {
    let name = voice.pod.name();
    let labels = &pod["metadata"]["labels"];
    let expected = format!("pod {name} labelled {USE_LABEL}: \"true\", and mutated by the webhook");
    if injection::skipped(pod).contains(&voice.container) {
        let observed = format!(
            "annotation azure.workload.identity/skip-containers of pod {name} names container {}",
            voice.container
        );
        return Difference::at(Hop::Admission, expected, observed)
            .advise(format!("remove {} from the annotation azure.workload.identity/skip-containers", voice.container));
    }
    match &labels[USE_LABEL] {
        Value::Null => {}
        Value::String(value) if value == "true" => {
            let observed = format!("pod {name} has the label and was not mutated");
            return Difference::at(Hop::Admission, expected, observed).advise(
                "check that the webhook runs and is registered for pods of this namespace: kubectl get mutatingwebhookconfigurations",
            );
        }
        other => {
            let observed = format!("pod {name} has label {USE_LABEL}: {other}");
            return Difference::at(Hop::Admission, expected, observed)
                .advise(format!("write {USE_LABEL}: \"true\" on pod {name}"));
        }
    }
    let account = account_of(voice, pod);
    let on_account = account.is_some_and(|account| !account["metadata"]["labels"][USE_LABEL].is_null());
    let near = keys(labels).find(|key| is_near(USE_LABEL, key));
    let observed = if let Some(near) = near {
        let where_ = differs(USE_LABEL, near).map(|where_| format!(" ({where_})")).unwrap_or_default();
        format!("pod {name} has label {near}, which is not {USE_LABEL}{where_}")
    } else if on_account {
        format!(
            "label {USE_LABEL} is on ServiceAccount {}, where it has no effect, and not on pod {name}",
            account_name(pod)
        )
    } else {
        let there: Vec<&str> = keys(labels).collect();
        let there = if there.is_empty() {
            "it has no labels".to_owned()
        } else {
            format!("its only labels: {}", there.join(", "))
        };
        format!("pod {name} has no label {USE_LABEL} ({there})")
    };
    let what = if voice.pod.sent["metadata"]["name"].is_null() { "the template of the pod" } else { "the pod" };
    Difference::at(Hop::Admission, expected, observed)
        .advise(format!("add label {USE_LABEL}: \"true\" to {what} (metadata.labels) and create it again"))
}

/// The webhook found no client id.
fn without_client_id(voice: &Voice<'_>, pod: &Value, facts: &Facts) -> Difference {
    let (name, account) = (voice.pod.name(), account_name(pod));
    let expected = format!(
        "AZURE_CLIENT_ID in container {}, from annotation {CLIENT_ID} of ServiceAccount {account}",
        voice.container
    );
    let of_account = account_of(voice, pod);
    let annotations = of_account.map_or(&Value::Null, |account| &account["metadata"]["annotations"]);
    if let Some(near) = keys(annotations).find(|key| is_near(CLIENT_ID, key)) {
        let where_ = differs(CLIENT_ID, near).map(|where_| format!(" ({where_})")).unwrap_or_default();
        let observed = format!(
            "ServiceAccount {account} has annotation {near}, which has no effect: it is not {CLIENT_ID}{where_}"
        );
        return Difference::at(Hop::Admission, expected, observed).advise(format!(
            "rename annotation {near} of ServiceAccount {account} to {CLIENT_ID} and create the pod again"
        ));
    }
    let sent = voice.pod.sent["spec"]["serviceAccountName"].as_str().unwrap_or_default();
    let annotated = facts.accounts.iter().find(|other| {
        !other["metadata"]["annotations"][CLIENT_ID].is_null()
            && other["metadata"]["namespace"] == pod["metadata"]["namespace"]
            && other["metadata"]["name"] != account.as_str()
    });
    if let (true, Some(annotated)) = (sent.is_empty(), annotated) {
        let other = text(&annotated["metadata"]["name"]);
        let observed = format!(
            "pod {name} names no ServiceAccount, so it runs as `{account}`, which has no client id; ServiceAccount {other} has one"
        );
        return Difference::at(Hop::Admission, expected, observed)
            .advise(format!("set spec.serviceAccountName: {other} on pod {name}"));
    }
    let there: Vec<&str> = keys(annotations).collect();
    let there = if there.is_empty() { "none at all".to_owned() } else { format!("only {}", there.join(", ")) };
    let id = trusted(facts, pod).map_or_else(String::new, |(_, client_id)| format!(": \"{client_id}\""));
    let observed = format!("ServiceAccount {account} has no annotation {CLIENT_ID} ({there})");
    Difference::at(Hop::Admission, expected, observed)
        .advise(format!("add annotation {CLIENT_ID}{id} to ServiceAccount {account} and create the pod again"))
}

/// The projected token could not be read.
fn no_token(voice: &Voice<'_>, _: &Facts) -> Option<Difference> {
    let token = voice.document("token")?;
    if token["outcome"] != "absent" || token["path"].is_null() {
        return None;
    }
    let given = voice.document("given").unwrap_or(&Value::Null);
    let (file, uid) = (&given["token-file"], text(&given["uid"]));
    let path = text(&token["path"]);
    let mut observed = format!("{path}: {}", text(&token["message"]));
    if file["exists"] == true {
        let owner = |field: &str| file[field].as_u64().map_or_else(|| "?".to_owned(), |id| id.to_string());
        observed.push_str(&format!(
            "; the file has mode {} and owner {}:{}, the process runs as user {uid}",
            text(&file["mode"]),
            owner("uid"),
            owner("gid")
        ));
    }
    let difference = Difference::at(Hop::Token, format!("a projected token that user {uid} can read"), observed);
    Some(difference.advise(
        "set one user for all containers (securityContext.runAsUser of the pod), or a group for its files (securityContext.fsGroup)",
    ))
}

/// The identity provider refused, or was not reached.
fn not_granted(voice: &Voice<'_>, facts: &Facts) -> Option<Difference> {
    let said = voice.document("exchange")?;
    if said["outcome"] == "granted" {
        return None;
    }
    let code = said["code"].as_str().unwrap_or_default();
    let short = |message: &str| {
        let line: String = message.chars().take(160).collect();
        if line.len() < message.len() { format!("{line}...") } else { line }
    };
    let asked = client_id(voice);
    let expected = format!("an access token for client {asked}");
    let told = match said["outcome"].as_str() {
        Some("refused") => format!("refused with {code}"),
        _ => format!("{}: {}", text(&said["kind"]), short(&text(&said["message"]))),
    };
    let at = |observed: String, mend: String| Some(Difference::at(Hop::Exchange, &expected, observed).advise(mend));
    let account = voice.pod.stored.as_ref().map_or_else(String::new, account_name);
    let Some(holder) = facts.with_client_id(&asked) else {
        if code != "AADSTS700016" {
            return Some(exchange::unexpected(said, voice, expected));
        }
        if let Some(handle) = facts.with_principal_id(&asked) {
            let wanted = &facts.principals[handle].client_id;
            return at(
                format!("{told}: {asked} is the object (principal) id of {handle}, not its client id {wanted}"),
                format!("set annotation {CLIENT_ID} of ServiceAccount {account} to {wanted}"),
            );
        }
        let known: Vec<String> =
            facts.principals.iter().map(|(handle, principal)| format!("{handle} {}", principal.client_id)).collect();
        let place = preset(voice).unwrap_or_else(|| format!("annotation {CLIENT_ID} of ServiceAccount {account}"));
        return at(
            format!("{told}: no identity of this case has client id {asked} ({})", known.join(", ")),
            format!("correct the client id in {place}"),
        );
    };
    let claims = voice.document("token").map_or(&Value::Null, |token| &token["claims"]);
    let token = Presented::of(claims);
    if let Some(wrong) = wrong_tenant(voice, facts, code) {
        return at(
            format!("{told}: {wrong}"),
            format!(
                "correct or remove annotation {TENANT_ID} of ServiceAccount {account}; the tenant is {}",
                facts.tenant_id
            ),
        );
    }
    let own: Vec<&Credential> = facts.credentials.iter().filter(|credential| credential.holder == holder).collect();
    if own.iter().any(|credential| token.mismatches(credential).is_empty()) {
        return Some(exchange::unexpected(said, voice, expected));
    }
    if let Some(other) = facts.credentials.iter().find(|credential| token.mismatches(credential).is_empty()) {
        let wanted = &facts.principals[&other.holder].client_id;
        return at(
            format!(
                "{told}: {asked} is the client id of {holder}, which does not trust `{}`; {} does",
                token.subject, other.holder
            ),
            format!(
                "set annotation {CLIENT_ID} of ServiceAccount {account} to {wanted}, the client id of {}",
                other.holder
            ),
        );
    }
    let Some(nearest) = own.into_iter().min_by_key(|credential| token.mismatches(credential).len()) else {
        return at(
            format!("{told}: {holder} has no federated credential"),
            format!(
                "add a federated credential to {holder}: issuer {}, subject {}, audience {AUDIENCE}",
                token.issuer, token.subject
            ),
        );
    };
    let wrong = token.mismatches(nearest);
    let lines: Vec<&str> = wrong.iter().map(|(_, line, _)| line.as_str()).collect();
    let values: Vec<String> = wrong.iter().map(|(field, _, value)| format!("{field} to {value}")).collect();
    at(
        format!("{told}: {}", lines.join("; ")),
        format!("set the federated credential of {holder}: {}", values.join(", ")),
    )
}

/// What a federated credential is compared with.
struct Presented {
    issuer: String,
    subject: String,
    audience: String,
}

impl Presented {
    fn of(claims: &Value) -> Self {
        let audience = claims["aud"].as_array().and_then(|all| all.first()).unwrap_or(&claims["aud"]);
        Presented { issuer: text(&claims["iss"]), subject: text(&claims["sub"]), audience: text(audience) }
    }

    /// The fields in which a credential differs: the field, what is said of it, the value that it should have.
    fn mismatches(&self, credential: &Credential) -> Vec<(&'static str, String, String)> {
        let pairs = [
            ("issuer", &credential.issuer, &self.issuer),
            ("subject", &credential.subject, &self.subject),
            ("audience", &credential.audience, &self.audience),
        ];
        let wrong = pairs.into_iter().filter(|(_, registered, presented)| registered != presented);
        wrong
            .map(|(field, registered, presented)| {
                let where_ = differs(presented, registered)
                    .map(|where_| format!(" (registered has {where_})"))
                    .unwrap_or_default();
                (field, format!("{field}: registered `{registered}`, token `{presented}`{where_}"), presented.clone())
            })
            .collect()
    }
}

/// The vault did not hand the secret over.
fn not_read(voice: &Voice<'_>, facts: &Facts) -> Option<Difference> {
    let said = voice.document("secret-read")?;
    let given = voice.document("given").map_or(&Value::Null, |given| &given["env"]);
    let (url, secret) = (text(&given["KEYVAULT_URL"]), text(&given["SECRET_NAME"]));
    let handle = facts.vaults.iter().find(|(_, known)| known.trim_end_matches('/') == url.trim_end_matches('/'));
    let vault = handle.map_or(url.as_str(), |(handle, _)| handle.as_str());
    let expected = format!("secret {secret} of vault {vault}");
    let at = |observed: String, mend: String| Some(Difference::at(Hop::Secret, &expected, observed).advise(mend));
    let status = format!(
        "HTTP {} {}",
        text(&said["status"]),
        text(&said["inner"].as_str().map_or_else(|| said["code"].clone(), Into::into))
    );
    match said["outcome"].as_str()? {
        "forbidden"
            if matches!(said["inner"].as_str(), Some("AccessDenied" | "ForbiddenByPolicy" | "ForbiddenByRbac")) =>
        {
            let who = facts.with_client_id(&client_id(voice)).unwrap_or("the identity");
            let object = facts
                .principals
                .get(who)
                .map_or_else(String::new, |principal| format!(" (object {})", principal.principal_id));
            let others: Vec<&str> =
                facts.rights.iter().filter(|(on, to)| on == vault && to != who).map(|(_, to)| to.as_str()).collect();
            let has = facts.rights.iter().any(|(on, to)| on == vault && to == who);
            let others =
                if others.is_empty() { "nobody else has".to_owned() } else { format!("{} has", others.join(", ")) };
            let observed = if has {
                format!("{status}: the permissions of {who}{object} on vault {vault} do not allow it")
            } else {
                format!("{status}: {who}{object} has no permission on vault {vault}; {others}")
            };
            at(
                observed,
                format!(
                    "grant {who}{object} the permission `get` on secrets of vault {vault}, by access policy or role as the vault is configured"
                ),
            )
        }
        "missing" => {
            let there: Vec<&str> =
                facts.secret_sha256.keys().filter(|(on, _)| on == vault).map(|(_, name)| name.as_str()).collect();
            at(
                format!("{status}: vault {vault} has no secret `{secret}`; it has {}", there.join(", ")),
                format!("set SECRET_NAME of container {} to the name of a secret of vault {vault}", voice.container),
            )
        }
        _ => None,
    }
}

/// The client id that the container was given.
fn client_id(voice: &Voice<'_>) -> String {
    let given = voice.document("given").map_or(&Value::Null, |given| &given["env"]["AZURE_CLIENT_ID"]);
    text(given)
}

/// Where the pod itself sets the client id, it is not the account's.
fn preset(voice: &Voice<'_>) -> Option<String> {
    let sent = injection::containers(&voice.pod.sent);
    let sets = sent.iter().any(|found| found.name == voice.container && found.env.contains_key("AZURE_CLIENT_ID"));
    sets.then(|| format!("variable AZURE_CLIENT_ID of container {}", voice.container))
}

fn wrong_tenant(voice: &Voice<'_>, facts: &Facts, code: &str) -> Option<String> {
    let tenant = text(&voice.document("given")?["env"]["AZURE_TENANT_ID"]);
    let known = tenant == facts.tenant_id || facts.tenants.values().any(|other| *other == tenant);
    let of_tenant = matches!(code, "AADSTS90002" | "AADSTS700016");
    (!known && of_tenant).then(|| {
        let where_ = differs(&facts.tenant_id, &tenant).map(|where_| format!(" ({where_})")).unwrap_or_default();
        format!("AZURE_TENANT_ID is {tenant}, the tenant is {}{where_}", facts.tenant_id)
    })
}

/// The principal that trusts the pod's account, with its client id.
fn trusted<'a>(facts: &'a Facts, pod: &Value) -> Option<(&'a str, &'a str)> {
    let subject = format!("system:serviceaccount:{}:{}", text(&pod["metadata"]["namespace"]), account_name(pod));
    let holder = facts.credentials.iter().find(|credential| credential.subject == subject)?.holder.as_str();
    Some((holder, facts.principals.get(holder)?.client_id.as_str()))
}

fn account_name(pod: &Value) -> String {
    pod["spec"]["serviceAccountName"].as_str().filter(|name| !name.is_empty()).unwrap_or("default").to_owned()
}

/// The account as it was when the pod was created, or as it was given.
fn account_of<'a>(voice: &Voice<'a>, pod: &Value) -> Option<&'a Value> {
    let account = voice.pod.account.as_ref()?;
    (account["metadata"]["name"] == account_name(pod).as_str()).then_some(account)
}

fn keys(map: &Value) -> impl Iterator<Item = &str> {
    map.as_object().into_iter().flat_map(|map| map.keys().map(String::as_str))
}
