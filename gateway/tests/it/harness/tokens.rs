//! Bearer tokens: an issuer with a secret, and the operations they are tried on.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use manyhands_gateway::config::{Bearer, BearerKeys};
use reqwest::Method;
use serde_json::{Value, json};

pub const SECRET: &str = "a secret of the issuer, long enough";
pub const ISSUER: &str = "https://id.example";
pub const AUDIENCE: &str = "manyhands";

/// Accepts what [`token`] makes.
pub fn bearer() -> Bearer {
    bearer_of(BearerKeys::Secrets(vec![SECRET.into()]))
}

pub fn bearer_of(keys: BearerKeys) -> Bearer {
    Bearer { keys, issuer: ISSUER.to_owned(), audience: AUDIENCE.to_owned(), leeway: Duration::from_secs(5) }
}

/// Seconds since 1970, so many from now.
pub fn seconds_from_now(seconds: i64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    i64::try_from(now).unwrap() + seconds
}

/// Claims of a token that is good for a minute.
pub fn claims(tenant: &str, scope: &str) -> Value {
    json!({"iss": ISSUER, "aud": AUDIENCE, "exp": seconds_from_now(60), "tenant": tenant, "scope": scope})
}

pub fn signed(header: &Header, claims: &Value, key: &EncodingKey) -> String {
    jsonwebtoken::encode(header, claims, key).unwrap()
}

pub fn with_secret(secret: &str, claims: &Value) -> String {
    signed(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(secret.as_bytes()))
}

pub fn token(tenant: &str, scope: &str) -> String {
    with_secret(SECRET, &claims(tenant, scope))
}

/// All operations of an OpenAPI document.
pub fn operations(document: &Value) -> Vec<(Method, String)> {
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            if item.get(method.as_str().to_lowercase()).is_some() {
                operations.push((method, path.clone()));
            }
        }
    }
    operations
}

/// A template's path for the conversation `id`, with values for the other parameters and what the operation
/// asks for in the query.
pub fn path_for(template: &str, id: &str) -> String {
    let command = "00000000-0000-4000-8000-00000000000c";
    let mut path = template.to_owned();
    for (name, value) in [
        ("{conversation_id}", id),
        ("{runtime_conversation_id}", id),
        ("{command_id}", command),
        ("{event_id}", command),
        ("{file_path}", "a.txt"),
        ("{sha}", "abcdef"),
    ] {
        path = path.replace(name, value);
    }
    assert!(!path.contains('{'), "{template} has a parameter that the tests do not know");
    if template == "/api/conversations" {
        format!("{path}?ids={id}")
    } else {
        format!("{path}?path=/tmp/w/a")
    }
}

/// A body the operation takes.
pub fn body_for(method: &Method, template: &str) -> Option<Value> {
    let below = template.rsplit('/').next().unwrap();
    let body = match (method.as_str(), below) {
        ("GET", "events" | "") => json!([]),
        ("POST", "events") => json!({"role": "user", "content": [{"type": "text", "text": "x"}]}),
        ("POST", "respond_to_confirmation") => json!({"accept": false}),
        ("POST", "confirmation_policy") => json!({"policy": {"kind": "NeverConfirm"}}),
        ("POST", "security_analyzer") => json!({"security_analyzer": null}),
        ("POST", "secrets") => json!({"secrets": {"A": "b"}}),
        ("POST", "ask_agent") => json!({"question": "?"}),
        ("POST", "switch_llm") => json!({"llm": {"model": "m"}}),
        ("POST", "start_bash_command" | "execute_bash_command") => json!({"command": "true"}),
        ("PATCH", _) => json!({"title": "t"}),
        _ => return None,
    };
    Some(body)
}
