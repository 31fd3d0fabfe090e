//! A proxy that stops one request on its way: before the server hears of it, or after the server answered and before the
//! answer arrives. What is done meanwhile happens at that very moment of a run.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use regex::Regex;
use tokio::sync::{mpsc, oneshot};

/// Where a request is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Before,
    After,
}

/// A request to stop.
#[derive(Clone)]
pub(crate) struct Gate {
    pub(crate) method: &'static str,
    /// Of host and path with query.
    pub(crate) path: Regex,
    /// Which of those that match, from 1.
    pub(crate) nth: usize,
    pub(crate) sides: &'static [Side],
}

/// A request that stands still until this is dropped.
pub(crate) struct Held {
    pub(crate) url: String,
    pub(crate) body: String,
    _go: oneshot::Sender<()>,
}

struct Armed {
    gate: Gate,
    seen: usize,
    told: mpsc::UnboundedSender<Held>,
}

/// What both doors share.
#[derive(Clone)]
pub(crate) struct Doors {
    armed: Arc<Mutex<Option<Armed>>>,
}

#[derive(Clone)]
struct Door {
    doors: Doors,
    upstream: reqwest::Client,
    /// Host that requests go on to; as they name it when `None`.
    host: Option<String>,
}

impl Doors {
    pub(crate) fn new() -> Self {
        Doors { armed: Arc::default() }
    }

    /// Stops the next request that matches, from now on.
    pub(crate) fn arm(&self, gate: Gate) -> mpsc::UnboundedReceiver<Held> {
        let (told, heard) = mpsc::unbounded_channel();
        *self.armed.lock().unwrap() = Some(Armed { gate, seen: 0, told });
        heard
    }

    pub(crate) fn disarm(&self) {
        *self.armed.lock().unwrap() = None;
    }

    fn caught(&self, method: &str, url: &str) -> Option<(&'static [Side], mpsc::UnboundedSender<Held>)> {
        let mut armed = self.armed.lock().unwrap();
        let now = armed.as_mut().filter(|armed| armed.gate.method == method && armed.gate.path.is_match(url))?;
        now.seen += 1;
        (now.seen == now.gate.nth).then(|| (now.gate.sides, now.told.clone()))
    }

    /// A door without TLS, to one server.
    pub(crate) async fn plain(&self, upstream: reqwest::Client, host: &str) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let door = Door { doors: self.clone(), upstream, host: Some(host.to_owned()) };
        tokio::spawn(async move { axum::serve(listener, router(door)).await });
        address
    }

    /// A door that serves every name of Azure.
    pub(crate) async fn tls(&self, upstream: reqwest::Client, certificate: String, key: String) -> SocketAddr {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let config = axum_server::tls_rustls::RustlsConfig::from_pem(certificate.into(), key.into()).await.unwrap();
        let door = Door { doors: self.clone(), upstream, host: None };
        let server = axum_server::from_tcp_rustls(listener, config).unwrap();
        tokio::spawn(async move { server.serve(router(door).into_make_service()).await });
        address
    }
}

fn router(door: Door) -> axum::Router {
    axum::Router::new().fallback(pass).with_state(door)
}

async fn pass(State(door): State<Door>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let named = parts.headers.get("host").and_then(|host| host.to_str().ok()).map(str::to_owned);
    let named = named.or(parts.uri.host().map(str::to_owned)).unwrap_or_default();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let host = door.host.clone().unwrap_or_else(|| named.split(':').next().unwrap_or_default().to_owned());
    let url = format!("{host}{path}");
    let caught = door.doors.caught(parts.method.as_str(), &url);
    let stop = async |side: Side| {
        if let Some((_, told)) = caught.as_ref().filter(|(sides, _)| sides.contains(&side)) {
            let (go, gone) = oneshot::channel();
            let _ = told.send(Held { url: url.clone(), body: String::from_utf8_lossy(&body).into_owned(), _go: go });
            let _ = gone.await;
        }
    };
    stop(Side::Before).await;
    let mut onward = door.upstream.request(parts.method.clone(), format!("https://{url}")).body(body.clone());
    for (name, value) in &parts.headers {
        if !["host", "content-length", "connection", "accept-encoding"].contains(&name.as_str()) {
            onward = onward.header(name, value);
        }
    }
    let answer = onward.send().await;
    let answered = match answer {
        Ok(answer) => {
            let mut response = Response::builder().status(answer.status());
            for (name, value) in answer.headers() {
                if !["content-length", "transfer-encoding", "connection"].contains(&name.as_str()) {
                    response = response.header(name, value);
                }
            }
            let bytes: Bytes = answer.bytes().await.unwrap_or_default();
            response.body(Body::from(bytes)).unwrap()
        }
        Err(error) => Response::builder().status(502).body(Body::from(error.to_string())).unwrap(),
    };
    stop(Side::After).await;
    answered
}
