//! What the webhook made of a pod, where the cluster keeps no record of admissions: beside what the API server, in dry runs,
//! would have made of the pod without the webhook. Both have the same defaults and the same other webhooks behind them, so
//! that no table of defaults is needed, whatever the version.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::core::{Selector, SelectorExt as _};
use serde_json::{Map, Value};
use wi_model::evidence::{AdmissionEvidence, Answered, PodEvidence, RefusalEvidence};
use wi_model::judge;
use wi_model::verdict::Difference;

use crate::cluster::{Created, sentence};
use crate::provision::Provisioned;
use crate::session::Session;
use crate::webhook::WEBHOOK;

/// The label by which pods ask for the webhook.
const USE: &str = "azure.workload.identity/use";
/// The name of pods that are only tried out: that of the pod itself is taken.
const TRIED: &str = "wi-conformance-tried";
/// What an API server calls the volume of its own token, before letters at random.
const API_ACCESS: &str = "kube-api-access-";
/// What an API server writes down of an object for itself.
const BOOKKEEPING: [&str; 6] =
    ["uid", "resourceVersion", "creationTimestamp", "managedFields", "generation", "selfLink"];

/// How a trial came out.
#[derive(Debug)]
pub(super) enum Trial {
    /// The webhook is not asked about such a pod, or somebody else refused it.
    Unasked,
    /// What was made of it otherwise than is required.
    Compared(Option<Difference>),
    /// It cannot be told, and why.
    Untold(String),
}

/// Compares what was made of a pod, or would be made of the pods of a workload by its template, with what is required.
///
/// # Errors
/// The cluster could not be asked; in one line.
pub(super) async fn compare(
    session: &Session,
    ready: &Provisioned,
    (namespace, name): (&str, &str),
    pod: &PodEvidence,
) -> Result<Trial, String> {
    let untold = |why: String| Ok(Trial::Untold(format!("{name}: {why}")));
    if pod.account.is_none() {
        return Ok(Trial::Unasked);
    }
    let labels = labels(&pod.sent);
    let mut without = labels.clone();
    without.remove(USE);
    let hooks = hooks(session, namespace).await?;
    let asked =
        |labels: &BTreeMap<String, String>| hooks.iter().filter(|hook| hook.pods.matches(labels)).collect::<Vec<_>>();
    let hook = match asked(&labels).as_slice() {
        [] => return Ok(Trial::Unasked),
        [hook] => *hook,
        _ => return untold(format!("more than one registration of {WEBHOOK} is asked about it")),
    };
    if hook.conditional {
        return untold(format!("the registration of {WEBHOOK} has match conditions"));
    }
    if !asked(&without).is_empty() {
        return untold(format!("{WEBHOOK} is asked about pods without the label {USE} too"));
    }
    let answered = match (&pod.workload, &pod.stored, &pod.refused) {
        (Some(_), ..) => answer(try_out(session, &pod.sent, &labels).await?),
        (None, Some(stored), _) if stored["spec"]["nodeName"] != pod.sent["spec"]["nodeName"] => {
            return untold("it was there before".to_owned());
        }
        (None, Some(stored), _) => Some(Answered::Admitted(plain(stored))),
        (None, None, Some(refused)) => answer(Created::Refused(refused.clone())),
        (None, None, None) => None,
    };
    let Some(answered) = answered else { return Ok(Trial::Unasked) };
    // The name decides what the volume is called, so it is the pod's own where a pod was made.
    let own_name = if pod.workload.is_some() { Value::from(TRIED) } else { pod.sent["metadata"]["name"].clone() };
    let given = |mut made: Value| {
        for (field, value) in [("name", &own_name), ("generateName", &pod.sent["metadata"]["generateName"])] {
            set(&mut made["metadata"], field, value);
        }
        made["metadata"]["labels"] = pod.sent["metadata"]["labels"].clone();
        plain(&made)
    };
    let alone = match try_out(session, &pod.sent, &without).await? {
        Created::Stored(stored) => given(stored),
        Created::Refused(refused) => {
            return untold(format!("without the label {USE} it is refused: {}", told(&refused)));
        }
    };
    let review = AdmissionEvidence {
        namespace: namespace.to_owned(),
        sent: alone,
        account: pod.account.clone(),
        answered,
        service: hook.service.clone(),
    };
    let settings = session.webhook_settings(review.service.as_ref(), &ready.facts).await;
    let wanted = match judge::required(&review, &settings, &ready.facts) {
        Ok(wanted) => match try_out(session, &wanted, &without).await? {
            Created::Stored(stored) => Ok(given(stored)),
            Created::Refused(refused) => return untold(format!("as it must be it is refused: {}", told(&refused))),
        },
        Err(refused) => Err(refused),
    };
    let Some(mut difference) = judge::judge_against(&review, &wanted) else { return Ok(Trial::Compared(None)) };
    // What is made at random by somebody else is no finding.
    match try_out(session, &pod.sent, &without).await? {
        Created::Stored(again) if given(again.clone()) == review.sent => {}
        Created::Stored(_) | Created::Refused(_) => {
            return untold("the API server makes another pod of it each time".to_owned());
        }
    }
    difference.expected = difference.expected.replace(TRIED, name);
    Ok(Trial::Compared(Some(difference)))
}

/// A webhook under test as it is registered.
struct Hook {
    pods: Selector,
    conditional: bool,
    /// Namespace and name of its Service.
    service: Option<(String, String)>,
}

/// Those that are asked about pods of a namespace.
async fn hooks(session: &Session, namespace: &str) -> Result<Vec<Hook>, String> {
    let fault = |error: kube::Error| sentence(&error);
    let registered = session.target.webhook.registration.as_deref();
    let configurations = session.cluster.webhook_configurations(WEBHOOK, registered).await.map_err(fault)?;
    let home = session.cluster.get("v1", "Namespace", None, namespace).await.map_err(fault)?.unwrap_or_default();
    let home = labels(&home);
    let mut found = Vec::new();
    for hook in configurations.iter().flat_map(|object| object["webhooks"].as_array().into_iter().flatten()) {
        if hook["name"] != WEBHOOK || !selector(&hook["namespaceSelector"])?.matches(&home) {
            continue;
        }
        let service = &hook["clientConfig"]["service"];
        let text = |field: &str| service[field].as_str().map(str::to_owned);
        found.push(Hook {
            pods: selector(&hook["objectSelector"])?,
            conditional: hook["matchConditions"].as_array().is_some_and(|all| !all.is_empty()),
            service: text("namespace").zip(text("name")),
        });
    }
    Ok(found)
}

fn selector(value: &Value) -> Result<Selector, String> {
    if value.is_null() {
        return Ok(Selector::default());
    }
    let selector: LabelSelector = serde_json::from_value(value.clone()).map_err(|error| format!("{value}: {error}"))?;
    Selector::try_from(selector).map_err(|error| format!("{value}: {error}"))
}

/// What the API server would make of a pod with these labels.
async fn try_out(session: &Session, pod: &Value, labels: &BTreeMap<String, String>) -> Result<Created, String> {
    let mut tried = plain(pod);
    (tried["apiVersion"], tried["kind"]) = ("v1".into(), "Pod".into());
    let metadata = &mut tried["metadata"];
    set(metadata, "generateName", &Value::Null);
    metadata["name"] = TRIED.into();
    metadata["labels"] = labels.iter().map(|(key, value)| (key.clone(), Value::from(value.clone()))).collect();
    session.cluster.try_out(&tried).await
}

/// An answer of the API server, where it is the webhook's: a refusal names the webhook that gave it.
fn answer(created: Created) -> Option<Answered> {
    match created {
        Created::Stored(stored) => Some(Answered::Admitted(plain(&stored))),
        Created::Refused(refused) => {
            let said = format!("admission webhook \"{WEBHOOK}\" denied the request: ");
            if let Some(message) = refused.message.strip_prefix(&said) {
                let message = message.to_owned();
                return Some(Answered::Refused(RefusalEvidence { message, ..refused }));
            }
            let failed = refused.message.contains(&format!("failed calling webhook \"{WEBHOOK}\""));
            failed.then_some(Answered::Failed(refused.message))
        }
    }
}

/// A pod without what an API server writes down for itself, its token's volume under the same name always.
fn plain(pod: &Value) -> Value {
    let mut pod = pod.clone();
    set(&mut pod, "status", &Value::Null);
    BOOKKEEPING.iter().for_each(|field| set(&mut pod["metadata"], field, &Value::Null));
    let one_name = |named: &mut Value| {
        if named["name"].as_str().is_some_and(|name| name.starts_with(API_ACCESS)) {
            named["name"] = format!("{API_ACCESS}0").into();
        }
    };
    let spec = &mut pod["spec"];
    spec.get_mut("volumes").and_then(Value::as_array_mut).into_iter().flatten().for_each(one_name);
    for list in ["initContainers", "containers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            container.get_mut("volumeMounts").and_then(Value::as_array_mut).into_iter().flatten().for_each(one_name);
        }
    }
    pod
}

/// Sets a field; null takes it away.
fn set(object: &mut Value, field: &str, value: &Value) {
    if let Value::Object(map) = object {
        match value {
            Value::Null => _ = map.remove(field),
            value => _ = map.insert(field.to_owned(), value.clone()),
        }
    } else if !value.is_null() {
        *object = Value::Object(Map::from_iter([(field.to_owned(), value.clone())]));
    }
}

fn labels(object: &Value) -> BTreeMap<String, String> {
    let all = object["metadata"]["labels"].as_object().into_iter().flatten();
    all.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

fn told(refused: &RefusalEvidence) -> String {
    format!("{} {}", refused.status, refused.message)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refused(message: &str) -> Option<Answered> {
        answer(Created::Refused(RefusalEvidence { status: 400, reason: String::new(), message: message.to_owned() }))
    }

    #[test]
    fn a_refusal_counts_as_the_webhook_s_where_the_api_server_names_it() {
        let said = refused("admission webhook \"mutation.azure-workload-identity.io\" denied the request: no");
        assert!(matches!(said, Some(Answered::Refused(RefusalEvidence { message, .. })) if message == "no"));
        let failed = "Internal error occurred: failed calling webhook \"mutation.azure-workload-identity.io\": EOF";
        assert_eq!(refused(failed), Some(Answered::Failed(failed.to_owned())));
        assert_eq!(refused("pods \"p\" is forbidden: exceeded quota"), None);
        assert_eq!(refused("admission webhook \"other\" denied the request: no"), None);
    }

    #[test]
    fn two_pods_that_differ_in_bookkeeping_and_in_the_name_of_the_api_token_s_volume_are_the_same() {
        let stored = |uid: &str, volume: &str| {
            json!({
                "metadata": { "name": "p", "uid": uid, "creationTimestamp": uid, "generation": 1 },
                "spec": { "volumes": [{ "name": volume }], "containers": [{ "volumeMounts": [{ "name": volume, "mountPath": "/a" }] }] },
                "status": { "phase": uid },
            })
        };
        let (one, other) = (stored("1", "kube-api-access-abcde"), stored("2", "kube-api-access-fghij"));
        assert_eq!(plain(&one), plain(&other));
        assert_ne!(plain(&one), plain(&stored("1", "data")));
    }

    #[test]
    fn a_webhook_is_asked_as_its_selectors_say() {
        let asks = |selector_of: Value, labels: Value| {
            selector(&selector_of).unwrap().matches(&super::labels(&json!({ "metadata": { "labels": labels } })))
        };
        assert!(asks(Value::Null, Value::Null));
        let using = json!({ "matchLabels": { USE: "true" } });
        assert!(asks(using.clone(), json!({ USE: "true", "a": "b" })) && !asks(using, json!({ USE: "True" })));
        let elsewhere = json!({ "matchExpressions": [{ "key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kube-system"] }] });
        assert!(asks(elsewhere.clone(), json!({ "kubernetes.io/metadata.name": "a" })));
        assert!(!asks(elsewhere, json!({ "kubernetes.io/metadata.name": "kube-system" })));
    }
}
