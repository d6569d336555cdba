//! Calls of a server: JSON over HTTP, and the sockets that begin as HTTP.
//!
//! The one who starts this program names the server, for themselves: the rule about addresses that strangers name
//! (`crates/outbound`) has nothing to keep here.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::header::{CONNECTION, HeaderValue, RETRY_AFTER, UPGRADE};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tokio::time::Instant;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use uuid::Uuid;

use super::Usage;
use super::told::notice;
use super::values::text;

pub type Socket = WebSocketStream<reqwest::Upgraded>;

const KEY: &str = "X-Session-API-Key";
const ONCE: &str = "Idempotency-Key";
const CONNECTING: Duration = Duration::from_secs(10);
const ANSWERING: Duration = Duration::from_secs(120);
const OPENING: Duration = Duration::from_secs(20);
/// How long a call is made again that a server could not take yet.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(500);
/// Bytes of an answer: a page of large events is in one.
const LARGEST_ANSWER: usize = 256 << 20;
/// Bytes of a frame: a snapshot of a long conversation is large.
const LARGEST_FRAME: usize = 64 << 20;

/// A server, and the key for it. Cheap to clone.
#[derive(Clone)]
pub struct Api {
    http: Client,
    base: String,
    key: Option<SecretString>,
    /// The user was told that it is not reached, and it has not been since.
    is_told: Arc<AtomicBool>,
}

/// By which a server knows a call that is made again.
pub struct Once(String);

impl Once {
    pub fn new() -> Self {
        Self(Uuid::new_v4().to_string())
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{base} cannot be reached: {cause}")]
    Unreachable { base: String, cause: String },
    #[error("{detail}")]
    Refused { status: u16, detail: String },
}

impl Error {
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            Self::Unreachable { .. } => None,
        }
    }
}

impl Api {
    /// # Errors
    /// Where the URL is none of a server, or no client can be made.
    pub fn new(server: &str, key: Option<SecretString>) -> anyhow::Result<Self> {
        let url = server_url(server)?;
        let builder = Client::builder().http1_only().referer(false).connect_timeout(CONNECTING);
        let builder = builder.redirect(reqwest::redirect::Policy::none());
        let builder = if is_here(&url) { builder.no_proxy() } else { builder };
        // The roots of TLS are not on every machine, and only https needs them.
        let builder = if url.scheme() == "http" { builder.tls_certs_only([]) } else { builder };
        let base = url.as_str().trim_end_matches('/').to_owned();
        Ok(Self { http: builder.build()?, base, key, is_told: Arc::default() })
    }

    pub async fn get(&self, path: &str) -> Result<Value, Error> {
        self.call(Method::GET, path, None, &Once::new()).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, Error> {
        self.post_once(path, body, &Once::new()).await
    }

    /// A call that may be made again with the same `once`.
    pub async fn post_once(&self, path: &str, body: &Value, once: &Once) -> Result<Value, Error> {
        self.call(Method::POST, path, Some(body), once).await
    }

    pub async fn patch(&self, path: &str, body: &Value) -> Result<Value, Error> {
        self.call(Method::PATCH, path, Some(body), &Once::new()).await
    }

    pub async fn delete(&self, path: &str) -> Result<Value, Error> {
        self.call(Method::DELETE, path, None, &Once::new()).await
    }

    /// Makes the call again while nobody has taken it: no connection, or an answer that says when to come again. By its key a
    /// server knows a call that it has taken after all.
    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        once: &Once,
    ) -> Result<Value, Error> {
        let until = Instant::now() + PATIENCE;
        loop {
            let mut request = self.request(method.clone(), path).timeout(ANSWERING);
            if method != Method::GET {
                request = request.header(ONCE, &once.0);
            }
            if let Some(body) = body {
                request = request.json(body);
            }
            let pause = match request.send().await {
                Ok(response) => {
                    self.is_told.store(false, Ordering::Relaxed);
                    match comes_again(&response) {
                        Some(pause) if Instant::now() + pause < until => pause,
                        _ => return self.read(response).await,
                    }
                }
                Err(error) if error.is_connect() && Instant::now() + PAUSE < until => {
                    self.tell(&error);
                    PAUSE
                }
                Err(error) => return Err(self.unreachable(&error)),
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Whoever forgot to start the server would think that this program hangs.
    fn tell(&self, error: &reqwest::Error) {
        if !self.is_told.swap(true, Ordering::Relaxed) {
            notice(&format!("{}; trying for {} seconds", self.unreachable(error), PATIENCE.as_secs()));
        }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        let key = self.key.as_ref().and_then(|key| HeaderValue::from_str(key.expose_secret()).ok());
        match key {
            Some(mut key) => {
                key.set_sensitive(true);
                request.header(KEY, key)
            }
            None => request,
        }
    }

    async fn read(&self, mut response: Response) -> Result<Value, Error> {
        let (status, mut body) = (response.status(), Vec::new());
        while let Some(piece) = response.chunk().await.map_err(|error| self.unreachable(&error))? {
            body.extend_from_slice(&piece);
            if body.len() > LARGEST_ANSWER {
                return Err(self.broken("its answer is too long"));
            }
        }
        let value: Value = serde_json::from_slice(&body).unwrap_or_default();
        match status.is_success() {
            true => Ok(value),
            false => Err(self.refusal(status, &value)),
        }
    }

    fn refusal(&self, status: StatusCode, body: &Value) -> Error {
        refusal(status, body, self.key.is_some())
    }

    fn unreachable(&self, error: &reqwest::Error) -> Error {
        let causes = std::iter::successors(Some(error as &dyn std::error::Error), |cause| cause.source());
        let cause = causes.last().map(ToString::to_string).unwrap_or_default();
        Error::Unreachable { base: self.base.clone(), cause }
    }

    /// Of a server that does not do what one does.
    pub fn broken(&self, cause: &str) -> Error {
        Error::Unreachable { base: self.base.clone(), cause: cause.to_owned() }
    }

    /// # Errors
    /// Where no socket is opened.
    pub async fn socket(&self, path: &str) -> Result<Socket, Error> {
        let key = generate_key();
        let request = self
            .request(Method::GET, path)
            .header(CONNECTION, "Upgrade")
            .header(UPGRADE, "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", &key);
        let answered = tokio::time::timeout(OPENING, request.send()).await;
        let response =
            answered.map_err(|_| self.broken("no answer"))?.map_err(|error| self.unreachable(&error))?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            let status = response.status();
            return Err(self.refusal(status, &response.json().await.unwrap_or_default()));
        }
        let accepted = response.headers().get("sec-websocket-accept").map(HeaderValue::as_bytes);
        if accepted != Some(derive_accept_key(key.as_bytes()).as_bytes()) {
            return Err(self.broken("what answers speaks no WebSocket"));
        }
        let upgraded = response.upgrade().await.map_err(|error| self.unreachable(&error))?;
        let config = WebSocketConfig::default()
            .max_message_size(Some(LARGEST_FRAME))
            .max_frame_size(Some(LARGEST_FRAME));
        Ok(WebSocketStream::from_raw_socket(upgraded, Role::Client, Some(config)).await)
    }
}

/// How long to wait where a server says that it takes the call later, or is about to answer it; at most as long as is waited at
/// all, whatever it says.
fn comes_again(response: &Response) -> Option<Duration> {
    let busy = [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE, StatusCode::CONFLICT];
    let after = response.headers().get(RETRY_AFTER).filter(|_| busy.contains(&response.status()))?;
    after.to_str().ok()?.parse().ok().map(|seconds: u64| Duration::from_secs(seconds).clamp(PAUSE, PATIENCE))
}

/// What a server says of a call that it does not follow: a sentence, or what is wrong with each field.
fn refusal(status: StatusCode, body: &Value, had_key: bool) -> Error {
    let problem = |problem: &Value| {
        let place = super::values::list(problem, "/loc").iter().map(|step| match step {
            Value::String(name) => name.clone(),
            other => other.to_string(),
        });
        format!("{}: {}", place.collect::<Vec<_>>().join("."), text(problem, "/msg"))
    };
    let detail = match body.get("detail") {
        Some(Value::String(detail)) => detail.clone(),
        Some(Value::Array(problems)) => problems.iter().map(problem).collect::<Vec<_>>().join("; "),
        Some(detail @ Value::Object(_)) => match text(detail, "/message") {
            "" => detail.to_string(),
            message => message.to_owned(),
        },
        _ => status.canonical_reason().unwrap_or("no reason is given").to_owned(),
    };
    let hint = match status {
        StatusCode::UNAUTHORIZED if had_key => {
            " (the key from --key-file, MANYHANDS_KEY or OH_SESSION_API_KEYS_0 is none of the server's)"
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            " (the server's key is taken from MANYHANDS_KEY, OH_SESSION_API_KEYS_0 or --key-file)"
        }
        _ => "",
    };
    Error::Refused { status: status.as_u16(), detail: format!("{} {detail}{hint}", status.as_u16()) }
}

fn server_url(server: &str) -> anyhow::Result<Url> {
    let wrong = |why: &str| Usage(format!("--server {why}, such as http://127.0.0.1:8000"));
    let url = Url::parse(server).map_err(|_| wrong("must be a URL"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(wrong("must be an http or https URL").into());
    }
    let has_more = url.query().is_some() || url.fragment().is_some();
    if has_more || !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("must be a URL without user, query and fragment").into());
    }
    Ok(url)
}

/// Whether no proxy has any business in between.
fn is_here(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_url_that_is_none_of_a_server_is_told() {
        for server in
            ["127.0.0.1:8000", "ftp://x", "http://user:secret@host", "http://host/?a=b", "http://host/#f"]
        {
            let error = server_url(server).unwrap_err();
            assert!(error.is::<Usage>() && !error.to_string().contains("secret"), "{server}: {error}");
        }
        assert!(server_url("https://host/prefix/").is_ok());
        for (server, here) in
            [("http://[::1]:1", true), ("http://localhost", true), ("http://10.0.0.1", false)]
        {
            assert_eq!(is_here(&Url::parse(server).unwrap()), here, "{server}");
        }
    }

    #[test]
    fn a_refusal_says_what_was_wrong() {
        let of = |status, body| refusal(StatusCode::from_u16(status).unwrap(), &body, false).to_string();
        assert_eq!(of(404, json!({"detail": "Not Found"})), "404 Not Found");
        let problems = json!({"detail": [{"loc": ["body", "agent", 0], "msg": "is wrong"}]});
        assert_eq!(of(422, problems), "422 body.agent.0: is wrong");
        let profile = json!({"detail": {"code": "unresolved", "message": "LLM profile 'nope' not found"}});
        assert_eq!(of(422, profile), "422 LLM profile 'nope' not found");
        assert_eq!(of(422, json!({"detail": {"code": "x"}})), r#"422 {"code":"x"}"#);
        let unauthorized = json!({"detail": "Unauthorized"});
        assert!(of(401, unauthorized.clone()).contains("is taken from MANYHANDS_KEY"));
        let wrong = refusal(StatusCode::UNAUTHORIZED, &unauthorized, true).to_string();
        assert!(wrong.contains("is none of the server's"), "{wrong}");
        assert_eq!(of(502, json!(null)), "502 Bad Gateway");
    }
}
