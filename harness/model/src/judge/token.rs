//! What the projected token says, as the pod read it from its file.

use serde_json::Value;

use super::voice::{self, Voice};
use super::{Verdict, broken, document, same, text};
use crate::evidence::{Facts, PodEvidence};
use crate::injection::AUDIENCE;
use crate::plan::version;
use crate::scenario::TokenExpectation;
use crate::verdict::Hop;

pub(super) fn judge(expectation: &TokenExpectation, evidence: &PodEvidence, facts: &Facts) -> Verdict {
    let expected = format!("a projected token for {}", expectation.subject.value);
    let container = expectation.container.as_ref();
    voice::each(evidence, container, &expected, Some(facts), |voice| judge_one(expectation, voice, facts, &expected))
}

fn judge_one(expectation: &TokenExpectation, voice: &Voice<'_>, facts: &Facts, expected: &str) -> Verdict {
    let token = read(voice, expected)?;
    let claims = &token["claims"];
    let issuer = expectation.issuer.as_ref().map_or(facts.issuer.as_str(), |issuer| issuer.value.as_str());
    same(Hop::Token, "iss", issuer, &text(&claims["iss"]))?;
    same(Hop::Token, "sub", &expectation.subject.value, &text(&claims["sub"]))?;
    let audience = expectation.audience.as_ref().map_or(AUDIENCE, |audience| audience.value.as_str());
    same(Hop::Token, "aud", &serde_json::json!([audience]).to_string(), &claims["aud"].to_string())?;
    same(Hop::Token, "header alg", "RS256", &text(&token["header"]["alg"]))?;
    if token["header"]["kid"].as_str().is_none_or(str::is_empty) {
        return Err(broken(Hop::Token, "header kid", text(&token["header"]["kid"])));
    }
    let (issued, expires) = (claims["iat"].as_i64(), claims["exp"].as_i64());
    let (Some(issued), Some(expires)) = (issued, expires) else {
        return Err(broken(
            Hop::Token,
            "iat and exp as whole numbers",
            format!("iat {}, exp {}", claims["iat"], claims["exp"]),
        ));
    };
    if let Some(lifetime) = expectation.lifetime {
        same(Hop::Token, "exp - iat", &lifetime.to_string(), &(expires - issued).to_string())?;
    }
    if claims["nbf"].as_i64().is_some_and(|not_before| not_before > issued) {
        return Err(broken(Hop::Token, "nbf not after iat", format!("nbf {}, iat {issued}", claims["nbf"])));
    }
    bound(voice.pod, claims)?;
    if version(&facts.kubernetes) >= NAMES_NODES {
        on_its_node(voice.pod, claims)?;
    }
    match expectation.renewed {
        Some(wanted) => renewed(wanted, voice, token),
        None => Ok(()),
    }
}

/// Whether the token is another one than the pod read first.
fn renewed(wanted: bool, voice: &Voice<'_>, token: &Value) -> Verdict {
    let first = voice.first_document("token").unwrap_or(token);
    let (was, is) = (&first["claims"]["iat"], &token["claims"]["iat"]);
    let changed = first["sha256"] != token["sha256"];
    match (wanted, changed) {
        (true, true) if is.as_i64() > was.as_i64() => Ok(()),
        (true, true) => Err(broken(Hop::Token, format!("a token issued after {was}"), format!("one issued at {is}"))),
        (true, false) => Err(super::not_yet(Hop::Token, "a renewed token", format!("the first, issued at {was}"))),
        (false, true) => {
            Err(broken(Hop::Token, format!("the first token, issued at {was}"), format!("one issued at {is}")))
        }
        (false, false) => Ok(()),
    }
}

/// The token that the pod read.
pub(super) fn read<'a>(voice: &Voice<'a>, expected: &str) -> Result<&'a Value, super::Unmet> {
    let token = document(voice, "token", Hop::Token, expected)?;
    if token["outcome"] == "absent" {
        let observed = format!("no token file at {}: {}", text(&token["path"]), text(&token["message"]));
        return Err(broken(Hop::Token, expected, observed));
    }
    Ok(token)
}

/// The token that the pod read, which must be its own and no other pod's.
pub(super) fn of_pod<'a>(voice: &Voice<'a>, expected: &str) -> Result<&'a Value, super::Unmet> {
    let token = read(voice, expected)?;
    let claims = &token["claims"]["kubernetes.io"]["pod"]["uid"];
    if !voice.pod.own
        && let Some(pod) = &voice.pod.stored
    {
        same(Hop::Token, "kubernetes.io pod uid", &text(&pod["metadata"]["uid"]), &text(claims))?;
    }
    Ok(token)
}

/// The first version of Kubernetes whose tokens name their node and have an id, wherever it runs.
const NAMES_NODES: (u32, u32) = (1, 32);

/// The token names the node that its pod runs on, and has an id of its own.
fn on_its_node(evidence: &PodEvidence, claims: &Value) -> Verdict {
    let node = evidence.latest.as_ref().map_or(&Value::Null, |pod| &pod["spec"]["nodeName"]);
    if node.is_string() {
        same(Hop::Token, "kubernetes.io node name", &text(node), &text(&claims["kubernetes.io"]["node"]["name"]))?;
    }
    match claims["jti"].as_str() {
        Some(id) if !id.is_empty() => Ok(()),
        _ => Err(broken(Hop::Token, "jti, an id of the token's own", text(&claims["jti"]))),
    }
}

/// The token names the pod and the account that it was made for.
fn bound(evidence: &PodEvidence, claims: &Value) -> Verdict {
    let Some(pod) = &evidence.stored else { return Ok(()) };
    let kubernetes = &claims["kubernetes.io"];
    let account = pod["spec"]["serviceAccountName"].as_str().unwrap_or("default");
    let wanted = [
        ("kubernetes.io namespace", text(&pod["metadata"]["namespace"]), text(&kubernetes["namespace"])),
        ("kubernetes.io pod name", text(&pod["metadata"]["name"]), text(&kubernetes["pod"]["name"])),
        ("kubernetes.io pod uid", text(&pod["metadata"]["uid"]), text(&kubernetes["pod"]["uid"])),
        ("kubernetes.io serviceaccount name", account.to_owned(), text(&kubernetes["serviceaccount"]["name"])),
    ];
    for (what, expected, observed) in wanted {
        same(Hop::Token, what, &expected, &observed)?;
    }
    Ok(())
}
