//! What to do about a failure whose reason is known.

/// What to do about an AADSTS code. Texts follow the trouble list of the requirement catalogue.
pub(super) fn aadsts(code: &str) -> Option<&'static str> {
    Some(match code {
        "AADSTS700211" => {
            "compare the federated credential's issuer with the token's `iss` byte for byte, trailing slash included"
        }
        "AADSTS700212" => "compare the federated credential's audience with the projected token's `aud`",
        "AADSTS700213" => {
            "the federated credential's subject must be system:serviceaccount:NAMESPACE:SERVICEACCOUNT of this very pod"
        }
        "AADSTS7002138" => "the federated credential's subject differs from the token's `sub` in case only",
        "AADSTS70025" => {
            "the identity that the client-id annotation names has no federated credential; is it on another identity, or on the app registration?"
        }
        "AADSTS70021" => "wait for the federated credential to propagate, then compare issuer, subject and audience",
        "AADSTS7000272" => {
            "the issuer's published keys lack the one that signed the token: were they rotated, or is this another cluster's issuer?"
        }
        "AADSTS700024" => {
            "the token is expired or not yet valid: is the file read again before each exchange, and is the node's clock right?"
        }
        "AADSTS700016" => {
            "the client-id annotation must hold the identity's client id, not its object id, name or resource id"
        }
        "AADSTS90002" => {
            "the tenant id does not exist: check the webhook's AZURE_TENANT_ID and the account's tenant-id annotation"
        }
        "AADSTS90061" | "AADSTS50166" | "AADSTS501661" => {
            "the identity provider cannot fetch the issuer's discovery document: check name, TLS and firewall of the issuer"
        }
        _ => return None,
    })
}

/// What to do about a refusal at admission.
pub(super) fn refusal(message: &str) -> &'static str {
    if message.contains("failed calling webhook") {
        "the webhook is registered but cannot be reached: check its pods, its Service's endpoints and its caBundle"
    } else if message.contains("token expiration") {
        "service-account-token-expiration takes 3600 to 86400"
    } else if message.contains("error looking up service account") {
        "create the ServiceAccount before the pod"
    } else {
        "read the message: it is the API server's own"
    }
}

/// What to do where nothing was injected into a pod: it lacks the label, or the webhook did not do its work.
pub(super) fn not_mutated(sent: &serde_json::Value) -> &'static str {
    match sent["metadata"]["labels"]["azure.workload.identity/use"].as_str() {
        Some("true") => NOT_MUTATED_THOUGH_LABELLED,
        _ => NOT_MUTATED,
    }
}

/// What to do where nothing was injected although the pod has the label.
const NOT_MUTATED_THOUGH_LABELLED: &str = "the pod has its label: look into the admission exchange in the evidence. Where the webhook was not asked, compare its registration's selectors with the pod and its namespace; where it was asked, its patch is not what it must be";

/// What to do where nothing was injected.
const NOT_MUTATED: &str = "the pod itself (not its account or Deployment) needs the label azure.workload.identity/use: \"true\", and the webhook must be registered when the pod is created";

/// What to do about a vault's refusal.
pub(super) const FORBIDDEN: &str =
    "give the right to the identity's principal (object) id, in the vault's own mode: access policy or role";
