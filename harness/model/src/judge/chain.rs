//! The way from a pod to its secret, looked at from its beginning: the first hop that broke is the one to mend, and what it
//! says names the objects of the case.

mod vault;

use serde_json::{Value, json};

use super::differs::{differs, is_near};
use super::voice::Voice;
use super::{corroboration, exchange, text};
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
    let hops: [(Hop, Look); 4] = [
        (Hop::Admission, not_injected),
        (Hop::Token, no_token),
        (Hop::Exchange, not_granted),
        (Hop::Secret, vault::not_read),
    ];
    let mut before = hops.into_iter().filter(|(hop, _)| *hop <= told.hop);
    before.find_map(|(_, look)| look(voice, facts)).unwrap_or(told)
}

/// The same of a token that the proxy was asked for: it may not be there, and what it was refused is in its answer.
pub(super) fn first_broken_by_proxy(voice: &Voice<'_>, facts: &Facts, told: Difference) -> Difference {
    let (Some(said), Some(pod)) = (voice.document("metadata"), voice.pod.stored.as_ref()) else { return told };
    if told.hop < Hop::Pod {
        return told;
    }
    if said["outcome"] == "failed" {
        return no_proxy(voice, pod, said).unwrap_or(told);
    }
    let url = text(&said["url"]);
    let named = parameter(&url, "client_id");
    let without = "The client_id parameter or AZURE_CLIENT_ID environment variable must be set";
    if named.is_none() && said["message"].as_str().is_some_and(|message| message.contains(without)) {
        // A proxy that has the variable and does not use it is at fault itself.
        let proxy = injection::containers(pod).into_iter().find(|container| container.name == "azwi-proxy");
        let has = proxy.is_some_and(|proxy| proxy.env.get("AZURE_CLIENT_ID").is_some_and(|id| *id != Some("")));
        return if has { told } else { without_client_id(voice, pod, facts) };
    }
    let Some(code) = corroboration::code(&said["message"]) else { return told };
    let asked = named.map_or_else(|| client_id(voice), str::to_owned);
    let answer = json!({
        "outcome": "refused", "code": format!("AADSTS{code}"), "status": said["status"], "message": said["message"],
    });
    let found = no_token(voice, facts).or_else(|| refused(&answer, &asked, voice, facts));
    match (found, named) {
        // An id in the address is changed there.
        (Some(found), Some(id)) if facts.with_client_id(id).is_none() => {
            found.advise(format!("correct client_id={id} in the address that container {} asks", voice.container))
        }
        (Some(found), _) => found,
        (None, _) => told,
    }
}

/// Nobody answers at the address of the proxy.
fn no_proxy(voice: &Voice<'_>, pod: &Value, said: &Value) -> Option<Difference> {
    const INJECT: &str = "azure.workload.identity/inject-proxy-sidecar";
    const PORT: &str = "azure.workload.identity/proxy-sidecar-port";
    let (name, url) = (voice.pod.name(), text(&said["url"]));
    let at = |observed: String, mend: String| {
        let expected = format!("a container azwi-proxy in pod {name}, which answers at {url}");
        Some(Difference::at(Hop::Admission, expected, observed).advise(mend))
    };
    let annotations = &pod["metadata"]["annotations"];
    if injection::containers(pod).iter().any(|container| container.name == "azwi-proxy") {
        let listens = annotations[PORT].as_str().unwrap_or("8000");
        let asked = port(&url);
        return (asked != listens).then_some(()).and_then(|()| {
            at(
                format!(
                    "container azwi-proxy listens on port {listens}, and container {} asks port {asked}",
                    voice.container
                ),
                format!("ask port {listens}, or set annotation {PORT}: \"{asked}\" on pod {name} and create it again"),
            )
        });
    }
    if pod["metadata"]["labels"][USE_LABEL] != "true" {
        return Some(left_alone(voice, pod));
    }
    let put = format!("put annotation {INJECT}: \"true\" on pod {name} (metadata.annotations) and create it again");
    if let Some(near) = keys(annotations).find(|key| is_near(INJECT, key)) {
        let where_ = differs(INJECT, near).map(|where_| format!(" ({where_})")).unwrap_or_default();
        return at(format!("pod {name} has annotation {near}, which nobody reads: it is not {INJECT}{where_}"), put);
    }
    match &annotations[INJECT] {
        Value::Null => at(format!("pod {name} has no annotation {INJECT}, so it was given no proxy"), put),
        value => at(
            format!("pod {name} has annotation {INJECT}: {value} and was given no proxy"),
            "see that the webhook injects proxies: look into the admission exchange in the evidence".to_owned(),
        ),
    }
}

/// The port of an address.
fn port(url: &str) -> &str {
    let host = url.split("://").nth(1).and_then(|rest| rest.split(['/', '?']).next()).unwrap_or_default();
    host.rsplit_once(':').map_or("80", |(_, port)| port)
}

/// A parameter of an address, as it is written there.
fn parameter<'a>(url: &'a str, name: &str) -> Option<&'a str> {
    let query = url.split_once('?')?.1;
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, value)| *key == name && !value.is_empty()).map(|(_, value)| value)
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
    let account = account_of(voice, pod);
    if missing == "AZURE_TENANT_ID"
        && account.is_some_and(|account| account["metadata"]["annotations"][TENANT_ID] == "")
    {
        let (expected, name) = (format!("{missing} in container {}", voice.container), account_name(pod));
        let observed = format!("annotation {TENANT_ID} of ServiceAccount {name} is empty, so the variable is left out");
        return Some(Difference::at(Hop::Admission, expected, observed).advise(format!(
            "set annotation {TENANT_ID} of ServiceAccount {name} to {}, or take it away",
            facts.tenant_id
        )));
    }
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
    let annotated = !pod["metadata"]["annotations"][USE_LABEL].is_null();
    let observed = if annotated {
        format!("{USE_LABEL} is an annotation of pod {name}, where it does nothing, and not a label")
    } else if let Some(near) = near {
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
    let elsewhere = [
        (
            of_account.map_or(&Value::Null, |account| &account["metadata"]["labels"][CLIENT_ID]),
            "a label of ServiceAccount",
            &account,
        ),
        (&pod["metadata"]["annotations"][CLIENT_ID], "an annotation of pod", &name.to_owned()),
    ]
    .into_iter()
    .find(|(value, _, _)| value.is_string())
    .map(|(value, what, of)| (text(value), format!("{what} {of}")));
    if let Some((id, what)) = elsewhere {
        let observed = format!("{CLIENT_ID} is {what}, where nobody reads it");
        return Difference::at(Hop::Admission, expected, observed).advise(format!(
            "put annotation {CLIENT_ID}: \"{id}\" on ServiceAccount {account} and create the pod again"
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
    if said["outcome"] == "granted" { None } else { refused(said, &client_id(voice), voice, facts) }
}

/// Why the identity provider refused a token of a client, by what differs from what it was told.
fn refused(said: &Value, asked: &str, voice: &Voice<'_>, facts: &Facts) -> Option<Difference> {
    let container = voice.container;
    let code = said["code"].as_str().unwrap_or_default();
    let short = |message: &str| {
        let line: String = message.chars().take(160).collect();
        if line.len() < message.len() { format!("{line}...") } else { line }
    };
    let expected = format!("an access token for client {asked}");
    let told = match said["outcome"].as_str() {
        Some("refused") => format!("refused with {code}"),
        _ => format!("{}: {}", text(&said["kind"]), short(&text(&said["message"]))),
    };
    let at = |observed: String, mend: String| Some(Difference::at(Hop::Exchange, &expected, observed).advise(mend));
    let account = voice.pod.stored.as_ref().map_or_else(String::new, account_name);
    let place = preset(voice).unwrap_or_else(|| format!("annotation {CLIENT_ID} of ServiceAccount {account}"));
    if said["outcome"] == "failed" {
        if let Some(authority) = wrong_authority(voice, facts) {
            return at(
                format!(
                    "{told}; AZURE_AUTHORITY_HOST is {authority}, and the authority of this case is {}",
                    facts.authority
                ),
                format!(
                    "take AZURE_AUTHORITY_HOST={authority} from container {container}, or set AZURE_ENVIRONMENT of the webhook to the cloud that is meant"
                ),
            );
        }
        if let Some(proxy) = variable(voice, "HTTPS_PROXY") {
            return at(
                format!("{told}; container {container} has HTTPS_PROXY={proxy}"),
                format!(
                    "see that a proxy answers at {proxy}, or name {} in NO_PROXY of container {container}",
                    facts.authority
                ),
            );
        }
    }
    let Some(holder) = facts.with_client_id(asked) else {
        if code != "AADSTS700016" {
            return Some(exchange::unexpected(said, voice, expected));
        }
        if let Some(handle) = facts.with_principal_id(asked) {
            let wanted = &facts.principals[handle].client_id;
            return at(
                format!("{told}: {asked} is the object (principal) id of {handle}, not its client id {wanted}"),
                format!("set {place} to {wanted}"),
            );
        }
        let known: Vec<String> =
            facts.principals.iter().map(|(handle, principal)| format!("{handle} {}", principal.client_id)).collect();
        if let Some((handle, meant)) = facts.principals.iter().find(|(_, known)| known.client_id == asked.trim()) {
            let where_ = differs(&meant.client_id, asked).map(|where_| format!(" ({where_})")).unwrap_or_default();
            return at(
                format!("{told}: `{asked}` is not the client id of {handle}{where_}"),
                format!("set {place} to `{}`, without blanks", meant.client_id),
            );
        }
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
            format!("set {place} to {wanted}, the client id of {}", other.holder),
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

/// A variable of the container, as the pod is stored.
fn variable<'a>(voice: &Voice<'a>, name: &str) -> Option<&'a str> {
    let containers = injection::containers(voice.pod.stored.as_ref()?);
    let found = containers.into_iter().find(|found| found.name == voice.container)?;
    found.env.get(name).copied().flatten().filter(|value| !value.is_empty())
}

/// The authority that the container was given, where it is none of this case's.
fn wrong_authority<'a>(voice: &Voice<'a>, facts: &Facts) -> Option<&'a str> {
    let given = variable(voice, "AZURE_AUTHORITY_HOST")?;
    let is = |known: &String| known.trim_end_matches('/') == given.trim_end_matches('/');
    (!is(&facts.authority) && !facts.authorities.iter().any(is)).then_some(given)
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
