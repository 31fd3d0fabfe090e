//! What the cluster says beside its pods: objects, events, its issuer, tokens, and what must not lie in it.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;

use super::{Verdict, broken, not_yet, text};
use crate::evidence::{ClusterEvidence, Facts};
use crate::located::{Located, Text};
use crate::path;
use crate::scenario::{
    EventExpectation, IssuerExpectation, NoCredentialExpectation, ObjectExpectation, TokenReviewExpectation,
};
use crate::secret::sha256;
use crate::verdict::Hop;

/// Fields by path: there with a value, or not there.
pub(super) fn fields(
    what: &str,
    object: &Value,
    wanted: &BTreeMap<String, Located<Value>>,
    without: &[Text],
) -> Result<(), (String, String)> {
    for (at, value) in wanted {
        let seen = path::at(object, at).unwrap_or(&Value::Null);
        if *seen != value.value {
            return Err((format!("{what}: {at} = {}", text(&value.value)), text(seen)));
        }
    }
    for at in without {
        if let Some(seen) = path::at(object, at) {
            return Err((format!("{what}: no {}", at.value), text(seen)));
        }
    }
    Ok(())
}

pub(super) fn judge_event(expectation: &EventExpectation, evidence: &ClusterEvidence) -> Verdict {
    let (reason, message) = (&expectation.reason.value, &expectation.message.value);
    if evidence.events.iter().any(|event| event.reason == *reason && event.message.contains(message.as_str())) {
        return Ok(());
    }
    let seen: Vec<String> =
        evidence.events.iter().map(|event| format!("{}: {}", event.reason, event.message)).collect();
    let observed = if seen.is_empty() { "no event".to_owned() } else { seen.join("; ") };
    Err(not_yet(Hop::Admission, format!("an event {reason} about {} with `{message}`", expectation.of.value), observed))
}

pub(super) fn judge_object(expectation: &ObjectExpectation, evidence: &ClusterEvidence) -> Verdict {
    let what = format!("{} {}", expectation.kind.value, expectation.name.value);
    let Some(object) = &evidence.object else {
        return if expectation.absent { Ok(()) } else { Err(not_yet(Hop::Admission, what, "not there")) };
    };
    if expectation.absent {
        return Err(not_yet(Hop::Admission, format!("no {what}"), "there"));
    }
    fields(&what, object, &expectation.fields, &expectation.without_fields)
        .map_err(|(expected, observed)| not_yet(Hop::Admission, expected, observed))
}

/// The discovery document names the issuer byte for byte, and each key is one that a verifier can use: RSA, for
/// signatures, with a `kid` that Kubernetes derives from the public key (base64url of the SHA-256 of its DER form).
pub(super) fn judge_issuer(expectation: &IssuerExpectation, evidence: &ClusterEvidence, facts: &Facts) -> Verdict {
    let hop = Hop::Token;
    let fetched = |what: &str, fetched: &Option<Result<Value, String>>| match fetched {
        Some(Ok(document)) => Ok(document.clone()),
        Some(Err(why)) => Err(not_yet(hop, format!("the issuer's {what}"), why)),
        None => Err(not_yet(hop, format!("the issuer's {what}"), "not asked for")),
    };
    let discovery = fetched("discovery document", &evidence.discovery)?;
    let Some((header, claims)) = &evidence.issued else { return Err(not_yet(hop, "a token of the cluster's", "none")) };
    for (what, issuer) in [("a token's iss", text(&claims["iss"])), ("the cluster's issuer", facts.issuer.clone())] {
        if discovery["issuer"] != issuer.as_str() {
            let expected = format!("the discovery document's issuer = {issuer}, which is {what}");
            return Err(not_yet(hop, expected, text(&discovery["issuer"])));
        }
    }
    if discovery["jwks_uri"].as_str().is_none_or(|uri| !uri.starts_with("https://")) {
        return Err(broken(hop, "the discovery document's jwks_uri, https", text(&discovery["jwks_uri"])));
    }
    let algorithms = discovery["id_token_signing_alg_values_supported"].as_array();
    if !algorithms.is_some_and(|all| all.iter().any(|algorithm| algorithm == "RS256")) {
        let seen = text(&discovery["id_token_signing_alg_values_supported"]);
        return Err(broken(hop, "the discovery document names RS256", seen));
    }
    let document = fetched("keys", &evidence.keys)?;
    let keys = document["keys"].as_array().map_or(&[][..], Vec::as_slice);
    if keys.len() != expectation.keys as usize {
        return Err(not_yet(hop, format!("{} published keys", expectation.keys), keys.len().to_string()));
    }
    if !keys.iter().any(|key| key["kid"] == header["kid"]) {
        let observed = keys.iter().map(|key| text(&key["kid"])).collect::<Vec<_>>().join(", ");
        return Err(not_yet(
            hop,
            format!("the key {} of a token among those published", text(&header["kid"])),
            observed,
        ));
    }
    for key in keys {
        let kid = text(&key["kid"]);
        for (field, wanted) in [("kty", "RSA"), ("alg", "RS256"), ("use", "sig")] {
            if key[field] != wanted {
                return Err(broken(hop, format!("key {kid}: {field} = {wanted}"), text(&key[field])));
            }
        }
        let derived =
            key_id(key).ok_or_else(|| broken(hop, format!("key {kid}: an RSA modulus and exponent"), "none"))?;
        if derived != kid {
            return Err(broken(hop, format!("kid = {derived}, the SHA-256 of its public key"), kid));
        }
    }
    Ok(())
}

/// The key id that Kubernetes gives an RSA key.
fn key_id(key: &Value) -> Option<String> {
    let number = |field: &str| URL_SAFE_NO_PAD.decode(key[field].as_str()?).ok();
    let der = public_key_der(&number("n")?, &number("e")?);
    Some(URL_SAFE_NO_PAD.encode(sha256(&der)))
}

/// SubjectPublicKeyInfo of an RSA key, RFC 8017 and RFC 5280.
fn public_key_der(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    fn element(tag: u8, content: &[u8]) -> Vec<u8> {
        let mut der = vec![tag];
        match content.len() {
            short @ 0..=127 => der.push(u8::try_from(short).unwrap_or_default()),
            long => {
                let bytes: Vec<u8> = long.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
                der.push(0x80 | u8::try_from(bytes.len()).unwrap_or_default());
                der.extend(bytes);
            }
        }
        der.extend_from_slice(content);
        der
    }
    fn integer(bytes: &[u8]) -> Vec<u8> {
        let mut content: Vec<u8> = bytes.iter().copied().skip_while(|byte| *byte == 0).collect();
        if content.first().is_none_or(|first| first & 0x80 != 0) {
            content.insert(0, 0);
        }
        element(0x02, &content)
    }
    // 1.2.840.113549.1.1.1, rsaEncryption, with NULL parameters.
    let algorithm = STANDARD.decode("MA0GCSqGSIb3DQEBAQUA").unwrap_or_default();
    let key = element(0x30, &[integer(modulus), integer(exponent)].concat());
    let bits = element(0x03, &[vec![0], key].concat());
    element(0x30, &[algorithm, bits].concat())
}

pub(super) fn judge_review(expectation: &TokenReviewExpectation, evidence: &ClusterEvidence) -> Verdict {
    let word = |authenticated: bool| {
        if authenticated { "accepted by the API server" } else { "not accepted by the API server" }
    };
    let expected = format!(
        "a token of {} for {}: {}",
        expectation.account.value,
        expectation.audience.value,
        word(expectation.authenticated)
    );
    let Some(review) = &evidence.review else { return Err(not_yet(Hop::Token, expected, "not asked")) };
    let authenticated = review["authenticated"].as_bool().unwrap_or(false);
    if authenticated == expectation.authenticated {
        return Ok(());
    }
    let why = review["error"].as_str().map(|error| format!(": {error}")).unwrap_or_default();
    Err(not_yet(Hop::Token, expected, format!("{}{why}", word(authenticated))))
}

pub(super) fn judge_no_credential(expectation: &NoCredentialExpectation, evidence: &ClusterEvidence) -> Verdict {
    let kinds: Vec<&str> = expectation.in_kinds.iter().map(|kind| kind.value.as_str()).collect();
    let expected = format!("no credential in any {}", kinds.join(", "));
    if evidence.objects == 0 {
        return Err(broken(Hop::SetUp, expected, "no object to search"));
    }
    if evidence.credentials.is_empty() {
        return Ok(());
    }
    Err(broken(Hop::Secret, expected, evidence.credentials.join("; ")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A key and the id that a real API server gave it.
    #[test]
    fn a_public_key_in_der_form_begins_as_the_standard_says() {
        let der = public_key_der(&[0x80; 256], &[1, 0, 1]);
        assert_eq!(der.len(), 294);
        assert_eq!(der[..4], [0x30, 0x82, 0x01, 0x22]);
        assert_eq!(der[der.len() - 5..], [0x02, 0x03, 1, 0, 1]);
    }

    #[test]
    fn fields_are_compared_by_path_and_absence() {
        let pod = json!({ "spec": { "containers": [{ "name": "app", "image": "x" }] } });
        let wanted = [("spec.containers[app].image".to_owned(), Located::nowhere(json!("x")))].into();
        assert_eq!(fields("pod p", &pod, &wanted, &["spec.volumes".into()]), Ok(()));
        let without = fields("pod p", &pod, &BTreeMap::new(), &["spec.containers[app]".into()]);
        assert_eq!(without.unwrap_err().0, "pod p: no spec.containers[app]");
    }

    #[test]
    fn looking_through_nothing_is_no_proof() {
        let expectation = NoCredentialExpectation { in_kinds: vec!["Secret".into()], within: None, throughout: None };
        assert!(judge_no_credential(&expectation, &ClusterEvidence::default()).is_err());
        let looked = ClusterEvidence { objects: 1, ..ClusterEvidence::default() };
        assert!(judge_no_credential(&expectation, &looked).is_ok());
    }
}
