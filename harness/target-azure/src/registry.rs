//! Whether nodes can get the built-in images: they have them already, or can pull them from a registry.
//!
//! Source: the distribution specification of the Open Container Initiative, and the token authentication of Docker's
//! registry, which registries of every cloud speak.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use reqwest::header::{ACCEPT, WWW_AUTHENTICATE};
use serde_json::Value;
use wi_images::{registry, repository};

/// Every kind of manifest that a node takes.
const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

/// A registry that has not answered by then is as good as one that is not there.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a look at the images came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// What no node can pull, in one line with the remedy.
    pub(super) unmet: Option<String>,
    /// What cannot be seen from here.
    pub(super) told: Option<String>,
}

/// What a registry says of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Answer {
    There,
    Missing,
    /// It gives it away to those whom it knows, and we are not among them.
    Closed,
    Silent(String),
}

/// Looks for each built-in image, by the name that the target gives it.
pub(super) async fn look(images: &BTreeMap<String, String>, nodes: &[Node]) -> Found {
    let (mut nowhere, mut missing, mut closed, mut silent) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let client = client();
    for (name, _) in wi_images::ours() {
        let image = images.get(name).map_or(name, String::as_str);
        if nodes.iter().all(|node| has(node, image)) {
            continue;
        }
        if registry(image).is_none() {
            nowhere.push(image);
            continue;
        }
        match ask(&client, image).await {
            Answer::There => {}
            Answer::Missing => missing.push(image),
            Answer::Closed => closed.push(image),
            Answer::Silent(why) => silent.push(format!("{image} ({why})")),
        }
    }
    let bring = |registry: &str| {
        format!("`wi-conformance images --registry {registry}` creates them and prints how to push them")
    };
    let mut lines = Vec::new();
    if !nowhere.is_empty() {
        let names = nowhere.join(", ");
        let bring = bring("REGISTRY/FOLDER");
        lines.push(format!("no node has {names}, and the target has no `pods.registry` to pull from: {bring}"));
    }
    if !missing.is_empty() {
        let place = missing[0].strip_suffix("/quickstart/pause").unwrap_or("REGISTRY/FOLDER");
        lines.push(format!("the registry does not have {}: {}", missing.join(", "), bring(place)));
    }
    let mut told = Vec::new();
    if !closed.is_empty() {
        let host = registry(closed[0]).unwrap_or_default();
        told.push(format!(
            "{host} requires authentication to pull {}: `az aks check-acr --resource-group GROUP --name CLUSTER --acr {host}` tells whether nodes may pull",
            closed.join(", ")
        ));
    }
    if !silent.is_empty() {
        told.push(format!("cannot check from here whether nodes can pull: {}", silent.join(", ")));
    }
    let join = |lines: Vec<String>| Some(lines.join("; ")).filter(|line| !line.is_empty());
    Found { unmet: join(lines), told: join(told) }
}

/// Whether a node says that it has an image.
fn has(node: &Node, image: &str) -> bool {
    let images = node.status.as_ref().and_then(|status| status.images.as_ref());
    let mut names = images.into_iter().flatten().flat_map(|image| image.names.iter().flatten());
    names.any(|name| repository(name) == repository(image))
}

fn client() -> Result<reqwest::Client, String> {
    let client = reqwest::Client::builder().timeout(PATIENCE).build();
    client.map_err(|error| error.to_string())
}

async fn ask(client: &Result<reqwest::Client, String>, image: &str) -> Answer {
    let client = match client {
        Ok(client) => client,
        Err(why) => return Answer::Silent(why.clone()),
    };
    asked(client, image).await.unwrap_or_else(|error| Answer::Silent(wi_engine::sentence(&error.without_url())))
}

/// Asks for the manifest of an image, once as nobody and once with the token that registries give to everybody.
async fn asked(client: &reqwest::Client, image: &str) -> Result<Answer, reqwest::Error> {
    let host = registry(image).unwrap_or_default();
    let path = repository(image).strip_prefix(host).unwrap_or_default().trim_start_matches('/');
    let (_, reference) = image.rsplit_once('@').unwrap_or_else(|| match image.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (image, "latest"),
    });
    // As Docker does: a registry on this machine needs no certificate.
    let name = host.split(':').next().unwrap_or_default();
    let scheme = if matches!(name, "localhost" | "127.0.0.1") { "http" } else { "https" };
    let url = format!("{scheme}://{host}/v2/{path}/manifests/{reference}");
    let request = || client.get(&url).header(ACCEPT, MANIFESTS);
    let mut answer = request().send().await?;
    if answer.status() == 401
        && let Some(token) = everybodys_token(client, &answer).await?
    {
        answer = request().bearer_auth(token).send().await?;
    }
    Ok(match answer.status().as_u16() {
        200 => Answer::There,
        404 => Answer::Missing,
        401 | 403 => Answer::Closed,
        status => Answer::Silent(format!("HTTP {status}")),
    })
}

/// The token that a challenge speaks of, where it is given without a credential.
async fn everybodys_token(
    client: &reqwest::Client,
    answer: &reqwest::Response,
) -> Result<Option<String>, reqwest::Error> {
    let challenge = answer.headers().get(WWW_AUTHENTICATE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let Some(fields) = challenge.strip_prefix("Bearer ") else { return Ok(None) };
    let fields: BTreeMap<&str, &str> =
        fields.split("\",").filter_map(|field| field.trim().trim_end_matches('"').split_once("=\"")).collect();
    let Some(realm) = fields.get("realm") else { return Ok(None) };
    let named = ["service", "scope"].into_iter().filter_map(|name| Some((name, *fields.get(name)?)));
    let given = client.get(*realm).query(&named.collect::<Vec<_>>()).send().await?;
    if !given.status().is_success() {
        return Ok(None);
    }
    let body: Value = given.json().await?;
    Ok(body["token"].as_str().or_else(|| body["access_token"].as_str()).map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    fn node(images: &[&str]) -> Node {
        let images: Vec<Value> = images.iter().map(|name| serde_json::json!({ "names": [name] })).collect();
        serde_json::from_value(serde_json::json!({ "metadata": {}, "status": { "images": images } })).unwrap()
    }

    /// A registry that has what `there` names, and gives it to bearers of its token alone where it is `guarded`; its
    /// token goes to everybody where it is `open`.
    fn start(there: &'static str, guarded: bool, open: bool) -> String {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut request = [0; 4096];
                let read = stream.read(&mut request).unwrap_or(0);
                let request = String::from_utf8_lossy(&request[..read]).to_lowercase();
                let challenge = format!(
                    "www-authenticate: Bearer realm=\"http://{address}/token\",service=\"s\",scope=\"repository:a:pull,push\"\r\n"
                );
                let (status, head, body) =
                    match () {
                        () if request.starts_with("get /token?service=s&scope=repository%3aa%3apull%2cpush ") => {
                            if open { ("200 OK", "", "{\"token\":\"everybodys\"}") } else { ("401 No", "", "") }
                        }
                        () if guarded && !request.contains("authorization: bearer everybodys") => {
                            ("401 No", challenge.as_str(), "")
                        }
                        () if request.contains(there) && request.contains("/manifests/latest ") => ("200 OK", "", "{}"),
                        () => ("404 No", "", ""),
                    };
                let length = body.len();
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status}\r\n{head}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
                );
            }
        });
        address.to_string()
    }

    fn placed(registry: &str) -> BTreeMap<String, String> {
        let ours = wi_images::ours();
        ours.map(|(name, _)| (name.to_owned(), wi_images::in_registry(registry, name))).collect()
    }

    #[tokio::test]
    async fn images_that_every_node_has_need_no_registry_and_others_need_one() {
        let all: Vec<&str> = wi_images::ours().map(|(name, _)| name).collect();
        assert_eq!(look(&[].into(), &[node(&all)]).await, Found::default());
        let unmet = look(&[].into(), &[node(&all), node(&all[..all.len() - 1])]).await.unmet.unwrap();
        assert!(
            unmet.starts_with("no node has wi-conformance/quickstart, and the target has no `pods.registry`"),
            "{unmet}"
        );
    }

    #[tokio::test]
    async fn a_registry_that_gives_its_images_away_is_fit_with_and_without_a_token() {
        for guarded in [false, true] {
            let registry = start("/v2/team/", guarded, true);
            assert_eq!(look(&placed(&format!("{registry}/team")), &[node(&[])]).await, Found::default());
        }
    }

    #[tokio::test]
    async fn what_a_registry_does_not_have_is_told_with_the_command_that_brings_it() {
        let registry = start("/v2/team/quickstart/rust/", false, false);
        let unmet = look(&placed(&format!("{registry}/team")), &[node(&[])]).await.unmet.unwrap();
        assert!(unmet.contains("does not have") && !unmet.contains("quickstart/rust"), "{unmet}");
        assert!(unmet.contains(&format!("`wi-conformance images --registry {registry}/team`")), "{unmet}");
    }

    #[tokio::test]
    async fn a_registry_that_does_not_know_us_and_one_that_is_not_there_are_told_and_stop_nothing() {
        let closed = look(&placed(&start("/", true, false)), &[node(&[])]).await;
        assert!(closed.unmet.is_none() && closed.told.unwrap().contains("az aks check-acr"));
        let silent = look(&placed("127.0.0.1:9/team"), &[node(&[])]).await;
        assert!(silent.unmet.is_none() && silent.told.unwrap().contains("cannot check from here"));
    }
}
