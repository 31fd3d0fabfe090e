//! What to do about a failure whose reason is known.

/// What to do about an AADSTS code. Texts follow the trouble list of the requirement catalogue.
pub(super) fn aadsts(code: &str) -> Option<&'static str> {
    Some(match code {
        "AADSTS700211" => {
            "compare the federated credential's issuer with the token's `iss` byte for byte, trailing slash included"
        }
        "AADSTS700212" => "compare the federated credential's audience with the projected token's `aud`",
        "AADSTS700213" => {
            "the federated credential's subject must be system:serviceaccount:NAMESPACE:SERVICEACCOUNT of this pod"
        }
        "AADSTS7002138" => "the federated credential's subject differs from the token's `sub` only in letter case",
        "AADSTS70025" => {
            "the identity in the client-id annotation has no federated credential; check for one on another identity, or on the app registration"
        }
        "AADSTS70021" => "wait for the federated credential to propagate, then compare issuer, subject and audience",
        "AADSTS7000272" => {
            "the issuer does not publish the key that signed the token: check for key rotation, or for the issuer of another cluster"
        }
        "AADSTS700024" => {
            "the token is expired or not yet valid: check that the file is read before each exchange, and the node's clock"
        }
        "AADSTS700016" => {
            "the client-id annotation must hold the identity's client id, not its object id, name or resource id"
        }
        "AADSTS90002" => {
            "the tenant id does not exist: check the webhook's AZURE_TENANT_ID and the account's tenant-id annotation"
        }
        "AADSTS90061" | "AADSTS50166" | "AADSTS501661" => {
            "the identity provider cannot fetch the issuer's discovery document: check DNS, TLS and firewall of the issuer"
        }
        _ => return None,
    })
}

/// What to do about a refusal at admission of a pod, with its own names.
pub(super) fn refusal(message: &str, sent: &serde_json::Value) -> String {
    const EXPIRATION: &str = "azure.workload.identity/service-account-token-expiration";
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let metadata = &sent["metadata"];
    let pod = Some(text(&metadata["name"])).filter(|name| !name.is_empty());
    let pod = pod.unwrap_or_else(|| format!("{}...", text(&metadata["generateName"])));
    let account = Some(text(&sent["spec"]["serviceAccountName"])).filter(|name| !name.is_empty());
    let account = account.unwrap_or_else(|| "default".to_owned());
    if message.contains("failed calling webhook") {
        "the webhook is registered but cannot be reached: check its pods, its Service's endpoints and its caBundle"
            .to_owned()
    } else if message.contains("token expiration") {
        let on_pod = !metadata["annotations"][EXPIRATION].is_null();
        let of = if on_pod { format!("pod {pod}") } else { format!("ServiceAccount {account}") };
        format!("set annotation {EXPIRATION} of {of} to a whole number from 3600 to 86400")
    } else if message.contains("error looking up service account") {
        format!("create ServiceAccount {account} before pod {pod}, or correct spec.serviceAccountName of the pod")
    } else if message.contains("hostNetwork is set to true") {
        format!(
            "take annotation azure.workload.identity/inject-proxy-sidecar or spec.hostNetwork away from pod {pod}: the proxy cannot serve the node's network"
        )
    } else {
        "read the message: it is the API server's own".to_owned()
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
const NOT_MUTATED_THOUGH_LABELLED: &str = "the pod has its label: read the admission review in the evidence. If the webhook was not called, compare its selectors with the pod and its namespace; if it was called, its patch is wrong";

/// What to do where nothing was injected.
const NOT_MUTATED: &str = "the pod itself (not its account or Deployment) needs the label azure.workload.identity/use: \"true\", and the webhook must be registered when the pod is created";

/// What to do about a vault's refusal.
pub(super) const FORBIDDEN: &str =
    "grant the permission to the identity's principal (object) id, by access policy or role as the vault is configured";
