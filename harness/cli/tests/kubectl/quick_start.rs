//! The upstream quick start: what it sets up in Azure by Azure's API, and what it makes in the cluster by kubectl, as it is
//! written there.

use std::path::Path;

use libtest_mimic::Failed;
use serde_json::{Value, json};

use super::{Kubectl, up};

const ACCOUNT: &str = "\
apiVersion: v1
kind: ServiceAccount
metadata:
  annotations:
    azure.workload.identity/client-id: CLIENT_ID
  name: workload-identity-sa
  namespace: default
";

const POD: &str = "\
apiVersion: v1
kind: Pod
metadata:
  name: quick-start
  namespace: default
  labels:
    azure.workload.identity/use: \"true\"
spec:
  serviceAccountName: workload-identity-sa
  containers:
    - image: ghcr.io/azure/azure-workload-identity/msal-go
      name: oidc
      env:
      - name: KEYVAULT_URL
        value: https://team-kv.vault.azure.net/
      - name: SECRET_NAME
        value: my-secret
  nodeSelector:
    kubernetes.io/os: linux
";

const DECLINED: &str = "metadata: { annotations: { wi-conformance/azure: none } }";

pub(super) fn session() -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let target = folder.path().join("target.yaml");
    let _up = up(folder.path(), &["--write-target", target.to_str().unwrap_or_default()])?;
    let kubectl = Kubectl { folder: folder.path().to_owned(), env: Vec::new() };
    let issuer = kubectl.ends(&["get", "--raw", "/.well-known/openid-configuration"], None, 0)?;
    let issuer: Value = serde_json::from_str(&issuer)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let client_id = runtime.block_on(set_up(&target, issuer["issuer"].as_str().unwrap_or_default()))?;
    kubectl.says(
        &["apply", "-f", "-"],
        Some(&ACCOUNT.replace("CLIENT_ID", &client_id)),
        "workload-identity-sa created",
    )?;
    kubectl.says(&["apply", "-f", "-"], Some(POD), "pod/quick-start created")?;
    kubectl.says(&["describe", "pod", "quick-start"], None, "AZURE_FEDERATED_TOKEN_FILE")?;
    kubectl.ends(&["wait", "--for=condition=Ready", "pod/quick-start", "--timeout=30s"], None, 0)?;
    // Each look takes kubectl a while.
    let read = || kubectl.says(&["logs", "quick-start"], None, "Your secret is Hello!");
    (0..100).map(|_| read()).find(Result::is_ok).unwrap_or_else(read)?;
    // Any other pod has the names and the certificates too, unless it declines them.
    kubectl.ends(&["run", "other", "--image=quickstart/pause"], None, 0)?;
    kubectl.ends(&["run", "declined", "--image=quickstart/pause", "--overrides", &overrides()], None, 0)?;
    kubectl.ends(&["wait", "--for=condition=Ready", "pod/other", "pod/declined", "--timeout=30s"], None, 0)?;
    let hosts = |pod: &str| {
        kubectl.ends(&["exec", pod, "--", "sh", "-c", "cat /etc/hosts; env; cat $SSL_CERT_FILE </dev/null"], None, 0)
    };
    let (other, declined) = (hosts("other")?, hosts("declined")?);
    for wanted in ["login.microsoftonline.com", "team-kv.vault.azure.net", "SSL_CERT_FILE=", "BEGIN CERTIFICATE"] {
        assert!(other.contains(wanted) && !declined.contains(wanted), "{wanted}: {other}\n{declined}");
    }
    Ok(())
}

/// The annotation by which a pod declines.
fn overrides() -> String {
    let overrides: Value = serde_saphyr::from_str(DECLINED).unwrap();
    overrides.to_string()
}

/// An identity, the trust in the account of the quick start, a vault and a secret that the identity may read.
async fn set_up(target: &Path, issuer: &str) -> Result<String, Failed> {
    let text = std::fs::read_to_string(target)?;
    let azure: Value = serde_saphyr::from_str::<Value>(&text)?["azure"].clone();
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let address = word(&azure["connect"]).parse()?;
    let mut client = reqwest::Client::builder().no_proxy();
    for certificate in
        reqwest::Certificate::from_pem_bundle(&std::fs::read(target.with_file_name("target.azure.pem"))?)?
    {
        client = client.tls_certs_merge([certificate]);
    }
    for host in ["login.microsoftonline.com", "management.azure.com", "team-kv.vault.azure.net"] {
        client = client.resolve(host, address);
    }
    let client = client.build()?;
    let (tenant, subscription) = (word(&azure["tenant"]), word(&azure["subscription"]));
    let secret = std::fs::read_to_string(target.with_file_name("target.secret"))?;
    let app = word(&azure["credential"]["client-secret"]["client-id"]);
    let token = async |scope: &str| -> Result<String, Failed> {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", app.as_str()),
            ("client_secret", secret.trim()),
            ("scope", scope),
        ];
        let url = format!("https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token");
        let answer: Value = client.post(url).form(&form).send().await?.json().await?;
        Ok(word(&answer["access_token"]))
    };
    let arm = token("https://management.azure.com/.default").await?;
    let put = async |path: &str, version: &str, body: Value| -> Result<Value, Failed> {
        let url = format!(
            "https://management.azure.com/subscriptions/{subscription}/resourceGroups/qs{path}?api-version={version}"
        );
        let answer = client.put(&url).bearer_auth(&arm).json(&body).send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        if status.is_success() {
            Ok(serde_json::from_str(&text)?)
        } else {
            Err(format!("PUT {url}: {status} {text}").into())
        }
    };
    let location = azure["location"].clone();
    put("", "2021-04-01", json!({ "location": location })).await?;
    let identity = "/providers/Microsoft.ManagedIdentity/userAssignedIdentities/quick-start";
    let made = put(identity, "2023-01-31", json!({ "location": location })).await?;
    let trust = json!({ "properties": { "issuer": issuer, "subject": "system:serviceaccount:default:workload-identity-sa",
        "audiences": ["api://AzureADTokenExchange"] } });
    put(&format!("{identity}/federatedIdentityCredentials/quick-start"), "2023-01-31", trust).await?;
    let principal = &made["properties"]["principalId"];
    let policy = |object: &Value, rights: &[&str]| json!({ "tenantId": tenant, "objectId": object, "permissions": { "secrets": rights } });
    let vault = json!({ "location": location, "properties": { "tenantId": tenant, "sku": { "family": "A", "name": "standard" },
        "enableRbacAuthorization": false, "accessPolicies": [policy(principal, &["get"]), policy(&own_id(&arm), &["set", "get"])] } });
    put("/providers/Microsoft.KeyVault/vaults/team-kv", "2023-07-01", vault).await?;
    let vaults = token("https://vault.azure.net/.default").await?;
    let secret = client.put("https://team-kv.vault.azure.net/secrets/my-secret?api-version=7.4").bearer_auth(vaults);
    let answer = secret.json(&json!({ "value": "Hello!" })).send().await?;
    assert!(answer.status().is_success(), "{}", answer.text().await?);
    Ok(word(&made["properties"]["clientId"]))
}

/// Who a token is of, as it says itself.
fn own_id(token: &str) -> Value {
    use base64::Engine as _;
    let payload = token.split('.').nth(1).unwrap_or_default();
    let claims = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload).unwrap_or_default();
    serde_json::from_slice::<Value>(&claims).unwrap_or_default()["oid"].clone()
}
