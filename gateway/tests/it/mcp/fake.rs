//! An MCP server on loopback, and the provider of its logins.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, Method, StatusCode, Uri};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::watch;

pub const CODE: &str = "the-code";

/// How the server behaves.
#[derive(Clone, Copy, PartialEq)]
pub enum Way {
    /// Answers are JSON.
    Plain,
    /// Answers are streams, with something else before them.
    Streams,
    /// Asks for a login.
    Login,
    /// Takes a question and never answers.
    Hangs,
    /// Refuses, and says why with all that it was told.
    Echoes,
    /// Leads elsewhere.
    Leads(u16),
}

#[derive(Clone)]
pub struct Fake {
    pub address: String,
    way: Way,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    /// Methods and paths, in order.
    asked: Vec<String>,
    headers: Vec<HeaderMap>,
    /// Of the pages that browsers were sent to.
    challenges: Vec<String>,
    /// The number of the newest token.
    tokens: u32,
    /// The number of the oldest token that is good.
    oldest: u32,
    /// What renews a token does that once.
    spent: HashSet<String>,
    /// Whether who is logged in is refused, with what he was told.
    is_rude: bool,
    /// Whether who is logged in waits for an answer until this is over.
    is_slow: watch::Sender<bool>,
    /// Whether the token endpoint answers nobody until this is over.
    holds_tokens: watch::Sender<bool>,
    describes: Describes,
    /// Who gives out tokens, if somebody else does now.
    provider: Option<String>,
    /// What it says of itself as a provider beside what it is.
    of_provider: Value,
    /// The token endpoint answers nothing else.
    refusal: Option<StatusCode>,
    /// At the end of tokens.
    padding: String,
}

/// Where the server says what its tokens are for, and who gives them out.
#[derive(Clone, Copy, Default, PartialEq)]
pub enum Describes {
    #[default]
    Well,
    /// Where its refusal says, and not at a place that anybody knows.
    InChallenge,
    Nowhere,
}

impl Fake {
    pub async fn start(way: Way) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let fake = Self { address, way, inner: Arc::default() };
        let app = Router::new()
            .route("/mcp", post(message).delete(|| async { StatusCode::OK }))
            .route("/sse", get(sse))
            .route("/.well-known/oauth-protected-resource/mcp", get(well_known_resource))
            .route("/described", get(described_resource))
            .route("/.well-known/oauth-authorization-server", get(provider))
            .route("/register", post(register))
            .route("/authorize", get(authorize))
            .route("/token", post(token))
            .with_state(fake.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        fake
    }

    pub fn url(&self) -> String {
        format!("{}/mcp", self.address)
    }

    /// What was asked so far.
    pub fn asked(&self) -> Vec<String> {
        self.inner.lock().unwrap().asked.clone()
    }

    pub fn headers(&self) -> Vec<HeaderMap> {
        self.inner.lock().unwrap().headers.clone()
    }

    /// No token that was given out so far is good any more.
    pub fn forget_tokens(&self) {
        let mut inner = self.inner.lock().unwrap();
        inner.oldest = inner.tokens + 1;
    }

    /// From now on those who are logged in are refused, with all that they said.
    pub fn be_rude(&self, is_rude: bool) {
        self.inner.lock().unwrap().is_rude = is_rude;
    }

    /// From now on those who are logged in wait until it is over.
    pub fn be_slow(&self, is_slow: bool) {
        self.inner.lock().unwrap().is_slow.send_replace(is_slow);
    }

    /// From now on who asks for tokens waits until it is over.
    pub fn hold_tokens(&self, holds: bool) {
        self.inner.lock().unwrap().holds_tokens.send_replace(holds);
    }

    pub fn describe(&self, describes: Describes) {
        self.inner.lock().unwrap().describes = describes;
    }

    /// As a provider it says this, too.
    pub fn say_as_provider(&self, fields: Value) {
        self.inner.lock().unwrap().of_provider = fields;
    }

    /// Gives no tokens from now on.
    pub fn refuse_tokens(&self, status: Option<u16>) {
        self.inner.lock().unwrap().refusal = status.map(|status| StatusCode::from_u16(status).unwrap());
    }

    /// Gives tokens from now on that are as long as this more.
    pub fn pad_tokens(&self, bytes: usize) {
        self.inner.lock().unwrap().padding = "x".repeat(bytes);
    }

    /// Exchanges of a code or renewals so far.
    pub fn tokens_asked(&self) -> usize {
        self.asked().iter().filter(|asked| asked.contains("/token")).count()
    }

    /// From now on somebody else is said to give out tokens.
    pub fn name_provider(&self, address: &str) {
        self.inner.lock().unwrap().provider = Some(address.to_owned());
    }

    fn note(&self, method: &str, path: &str) {
        self.inner.lock().unwrap().asked.push(format!("{method} {path}"));
    }

    fn new_token(&self) -> Value {
        let mut inner = self.inner.lock().unwrap();
        inner.tokens += 1;
        json!({"access_token": format!("good-token-{}{}", inner.tokens, inner.padding), "token_type": "Bearer", "expires_in": 3600,
            "refresh_token": format!("renewing-token-{}", inner.tokens), "id_token": "marked-identity"})
    }

    fn is_good(&self, headers: &HeaderMap) -> bool {
        let shown = headers.get("authorization").and_then(|shown| shown.to_str().ok()).unwrap_or_default();
        let number = shown.strip_prefix("Bearer good-token-").and_then(|number| number.parse::<u32>().ok());
        let inner = self.inner.lock().unwrap();
        number.is_some_and(|number| (inner.oldest.max(1)..=inner.tokens).contains(&number))
    }
}

async fn message(State(fake): State<Fake>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let question: Value = serde_json::from_slice(&body).unwrap();
    fake.note("POST", uri.path());
    fake.inner.lock().unwrap().headers.push(headers.clone());
    match fake.way {
        Way::Login if !fake.is_good(&headers) => {
            let place = match fake.inner.lock().unwrap().describes {
                Describes::Well => ".well-known/oauth-protected-resource/mcp",
                Describes::InChallenge => "described",
                Describes::Nowhere => "nowhere",
            };
            let metadata = format!("{}/{place}", fake.address);
            let said = format!("Bearer error=\"invalid_token\", resource_metadata=\"{metadata}\"");
            return (StatusCode::UNAUTHORIZED, [("www-authenticate", said)]).into_response();
        }
        Way::Leads(port) => {
            let target = format!("http://127.0.0.1:{port}/mcp");
            return (StatusCode::TEMPORARY_REDIRECT, [("location", target)]).into_response();
        }
        Way::Hangs => std::future::pending().await,
        _ => {}
    }
    let mut is_slow = fake.inner.lock().unwrap().is_slow.subscribe();
    is_slow.wait_for(|is_slow| !is_slow).await.unwrap();
    let Some(id) = question.get("id") else { return StatusCode::ACCEPTED.into_response() };
    let is_rude = fake.inner.lock().unwrap().is_rude;
    let answer = match headers.get("authorization").filter(|_| is_rude) {
        Some(said) => Err(format!("no, {}", said.to_str().unwrap())),
        None => answer(&question, &headers, fake.way),
    };
    let answer = match answer {
        Ok(result) => json!({"jsonrpc": "2.0", "id": id, "result": result}),
        Err(words) => json!({"jsonrpc": "2.0", "id": id, "error": {"code": -1, "message": words}}),
    };
    let session = [("mcp-session-id", "s1")];
    if fake.way == Way::Streams {
        let before = json!({"jsonrpc": "2.0", "method": "notifications/progress", "params": {}});
        let stream =
            format!(": hello\n\nevent: message\ndata: {before}\n\nevent: message\ndata: {answer}\n\n");
        return (session, [("content-type", "text/event-stream")], stream).into_response();
    }
    (session, Json(answer)).into_response()
}

/// The result, or words of refusal.
fn answer(question: &Value, headers: &HeaderMap, way: Way) -> Result<Value, String> {
    if way == Way::Echoes && question["method"] != "initialize" {
        return Err(format!("you said {headers:?} {}", headers["x-key"].to_str().unwrap()));
    }
    match question["method"].as_str().unwrap() {
        "initialize" => Ok(json!({"protocolVersion": "2025-06-18", "capabilities": {"tools": {}},
            "serverInfo": {"name": "fake", "version": "1"}})),
        "tools/list" => match question["params"]["cursor"].as_str() {
            None => Ok(json!({"tools": [{"name": "add"}, {"name": "fail"}], "nextCursor": "2"})),
            Some(_) => Ok(json!({"tools": [{"name": "show"}]})),
        },
        "tools/call" => {
            let text = |text: String| json!([{"type": "text", "text": text}, {"type": "image", "data": ""}]);
            match question["params"]["name"].as_str().unwrap() {
                "add" => Ok(json!({"content": text(question["params"]["arguments"]["a"].to_string())})),
                "show" => Ok(json!({"content": text(headers["x-key"].to_str().unwrap().to_owned())})),
                _ => Ok(json!({"content": text("it cannot".to_owned()), "isError": true})),
            }
        }
        other => Err(format!("{other} is not known")),
    }
}

/// The older way, as far as that a client gets an address to speak to; there nobody answers.
async fn sse(State(fake): State<Fake>) -> Response {
    fake.note("GET", "/sse");
    let stream = "event: endpoint\ndata: http://127.0.0.1:9/elsewhere\n\n";
    ([("content-type", "text/event-stream")], stream).into_response()
}

async fn well_known_resource(State(fake): State<Fake>) -> Response {
    let describes = fake.inner.lock().unwrap().describes;
    if describes == Describes::Well {
        resource(&fake).into_response()
    } else {
        StatusCode::NOT_FOUND.into_response()
    }
}

async fn described_resource(State(fake): State<Fake>) -> Json<Value> {
    resource(&fake)
}

fn resource(fake: &Fake) -> Json<Value> {
    fake.note("GET", "resource");
    let provider = fake.inner.lock().unwrap().provider.clone().unwrap_or_else(|| fake.address.clone());
    Json(json!({"resource": fake.url(), "authorization_servers": [provider], "scopes_supported": ["tools"]}))
}

async fn provider(State(fake): State<Fake>) -> Json<Value> {
    let at = |path: &str| format!("{}{path}", fake.address);
    let mut said = json!({"issuer": fake.address, "authorization_endpoint": at("/authorize"),
        "token_endpoint": at("/token"), "registration_endpoint": at("/register"),
        "token_endpoint_auth_methods_supported": ["client_secret_post"]});
    let more = fake.inner.lock().unwrap().of_provider.clone();
    said.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    Json(said)
}

async fn register(State(fake): State<Fake>, Json(mut client): Json<Value>) -> (StatusCode, Json<Value>) {
    fake.note("POST", "/register");
    assert_eq!(client["token_endpoint_auth_method"], "client_secret_post", "{client}");
    client["client_id"] = "client-1".into();
    client["client_secret"] = "the-client-secret".into();
    client["registration_access_token"] = "marked-registration".into();
    (StatusCode::CREATED, Json(client))
}

async fn authorize(State(fake): State<Fake>, Query(asked): Query<HashMap<String, String>>) -> Response {
    fake.note("GET", "/authorize");
    if asked["client_id"] != "client-1" {
        return StatusCode::BAD_REQUEST.into_response();
    }
    assert_eq!(asked["response_type"], "code");
    assert!(asked["resource"].ends_with("/mcp"));
    if fake.inner.lock().unwrap().describes != Describes::Nowhere {
        assert_eq!(asked["scope"], "tools");
    }
    fake.inner.lock().unwrap().challenges.push(asked["code_challenge"].clone());
    (StatusCode::FOUND, [("location", asked["redirect_uri"].clone())]).into_response()
}

async fn token(State(fake): State<Fake>, method: Method, body: String) -> Response {
    let field = |name: &str| {
        let fields = reqwest::Url::parse(&format!("http://x/?{body}")).unwrap();
        fields.query_pairs().find(|(field, _)| field == name).map(|(_, value)| value.into_owned())
    };
    fake.note(method.as_str(), &format!("/token {}", field("grant_type").unwrap()));
    let mut holds_tokens = fake.inner.lock().unwrap().holds_tokens.subscribe();
    holds_tokens.wait_for(|holds| !holds).await.unwrap();
    if let Some(refusal) = fake.inner.lock().unwrap().refusal {
        return refusal.into_response();
    }
    assert_eq!(field("client_secret").as_deref(), Some("the-client-secret"));
    assert!(field("resource").is_some_and(|resource| resource.ends_with("/mcp")));
    let proven = field("code_verifier").map(|verifier| URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)));
    let challenges = fake.inner.lock().unwrap().challenges.clone();
    let is_unspent = |token: String| fake.inner.lock().unwrap().spent.insert(token);
    let renews =
        field("refresh_token").is_some_and(|token| token.starts_with("renewing-token-") && is_unspent(token));
    let has_code =
        field("code").as_deref() == Some(CODE) && proven.is_some_and(|proven| challenges.contains(&proven));
    if renews || has_code {
        return Json(fake.new_token()).into_response();
    }
    (StatusCode::BAD_REQUEST, Json(json!({"error": "invalid_grant", "error_description": "marked words"})))
        .into_response()
}
