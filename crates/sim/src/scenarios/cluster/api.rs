//! The gateways' HTTP as clients have it here: a request is carried over the bus in place of a connection, to any of them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use gateway::config::{Bearer, BearerKeys};
use gateway::edge::Edge;
use http::{Method, Request, header};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use ports::{Parcel, Ports};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use types::TenantId;

/// Where clients ask; of all gateways one answers.
pub const DESK: &str = "front.desk";

/// Longer than a gateway takes to say that something takes too long.
pub const PATIENCE: Duration = Duration::from_secs(100);

const ISSUER: &str = "https://id.example";
const AUDIENCE: &str = "manyhands";
const SECRET: &str = "a secret of the issuer, long enough";

/// What a client asks for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Call {
    method: String,
    pub path: String,
    /// Who asks.
    pub tenant: TenantId,
    token: String,
    /// Its Idempotency-Key.
    pub key: Option<String>,
    pub body: Value,
    /// After that the connection is closed, and the gateway learns of it.
    closes_after: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    pub status: u16,
    /// It says when to ask again.
    pub is_soon_worth_another_try: bool,
    /// It was given before.
    pub is_replayed: bool,
    pub body: Value,
}

impl Call {
    pub fn key(mut self, key: Option<String>) -> Self {
        self.key = key;
        self
    }

    /// Has a gateway answer it.
    pub async fn ask(mut self, ports: &Ports, patience: Duration, closes: bool) -> Option<Answer> {
        self.closes_after = closes.then_some(patience);
        let json = serde_json::to_vec(&self).ok()?;
        let answer = ports.bus.request(DESK, Parcel::json(json), patience).await;
        answer.ok().and_then(|answer| serde_json::from_slice(&answer.json).ok())
    }

    /// What the gateway answers to it; `None` where nobody waits for that any more.
    pub async fn answered_by(self, edge: &Edge) -> Option<Answer> {
        let patience = self.closes_after.unwrap_or(Duration::MAX);
        tokio::time::timeout(patience, self.answer(edge)).await.ok().flatten()
    }

    async fn answer(self, edge: &Edge) -> Option<Answer> {
        let mut request = Request::builder()
            .method(self.method.as_str())
            .uri(&self.path)
            .header(header::HOST, "localhost")
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token));
        if let Some(key) = &self.key {
            request = request.header("idempotency-key", key);
        }
        let body = match self.body {
            Value::Null => Bytes::new(),
            body => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Bytes::from(body.to_string())
            }
        };
        let (parts, bytes) = edge.serve_whole(request.body(body).ok()?).await.ok()?.into_parts();
        Some(Answer {
            status: parts.status.as_u16(),
            is_soon_worth_another_try: parts.headers.contains_key(header::RETRY_AFTER),
            is_replayed: parts.headers.contains_key("idempotency-replayed"),
            body: serde_json::from_slice(&bytes).unwrap_or_default(),
        })
    }
}

impl Answer {
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Whether the same may be answered otherwise in a moment.
    pub fn is_for_now(&self) -> bool {
        let is_under_way = self.status == 409 && self.is_soon_worth_another_try;
        matches!(self.status, 429 | 502..=504 | 507) || is_under_way
    }

    pub fn detail(&self) -> &str {
        self.body["detail"].as_str().unwrap_or_default()
    }
}

/// Who asks.
#[derive(Clone)]
pub struct Caller {
    tenant: TenantId,
    token: String,
}

impl Caller {
    pub fn of(tenant: &TenantId) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let claims = json!({"iss": ISSUER, "aud": AUDIENCE, "exp": now.as_secs() + 86_400,
            "tenant": tenant, "scope": "read write"});
        let key = EncodingKey::from_secret(SECRET.as_bytes());
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key);
        Self { tenant: tenant.clone(), token: token.unwrap_or_default() }
    }

    pub fn get(&self, path: impl Into<String>) -> Call {
        self.call(&Method::GET, path, Value::Null)
    }

    pub fn post(&self, path: impl Into<String>, body: Value) -> Call {
        self.call(&Method::POST, path, body)
    }

    pub fn delete(&self, path: impl Into<String>) -> Call {
        self.call(&Method::DELETE, path, Value::Null)
    }

    fn call(&self, method: &Method, path: impl Into<String>, body: Value) -> Call {
        let (method, path, Self { tenant, token }) = (method.to_string(), path.into(), self.clone());
        Call { method, path, tenant, token, key: None, body, closes_after: None }
    }
}

/// Whom a gateway believes.
pub fn bearer() -> Bearer {
    Bearer {
        keys: BearerKeys::Secrets(vec![SECRET.into()]),
        issuer: ISSUER.to_owned(),
        audience: AUDIENCE.to_owned(),
        leeway: Duration::from_secs(60),
    }
}
