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
        ("{connection_id}", "c1"),
        ("{extension_name}", "x1"),
        ("{job_id}", "j1"),
        ("{name}", "p1"),
        ("{plugin_name}", "p1"),
        ("{profile_id}", "p1"),
        ("{settings_key}", "s1"),
        ("{skill_name}", "s1"),
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
    let of_conversation = template.strip_prefix("/api/conversations/{conversation_id}");
    let body = match (method.as_str(), of_conversation.unwrap_or(template)) {
        ("GET", path) if path == "/events" || path.ends_with('/') => json!([]),
        ("POST", "/events") => json!({"role": "user", "content": [{"type": "text", "text": "x"}]}),
        ("POST", "/events/respond_to_confirmation") => json!({"accept": false}),
        ("POST", "/confirmation_policy") => json!({"policy": {"kind": "NeverConfirm"}}),
        ("POST", "/security_analyzer") => json!({"security_analyzer": null}),
        ("POST", "/secrets") => json!({"secrets": {"A": "b"}}),
        ("POST", "/ask_agent") => json!({"question": "?"}),
        ("POST", "/switch_llm") => json!({"llm": {"model": "m"}}),
        ("POST", "/switch_profile") => json!({"profile_name": "p1"}),
        ("POST", "/switch_acp_model") => json!({"model": "m"}),
        ("POST", "/goal") => json!({"objective": "o"}),
        ("POST", "/navigate") => json!({"event_id": null}),
        ("POST", "/children") => json!({"task": "t"}),
        ("POST", "/load_plugin") => json!({"plugin_ref": "p"}),
        ("PATCH", "") => json!({"title": "t"}),
        ("POST", path) if path.ends_with("_bash_command") => json!({"command": "true"}),
        _ => return body_of_room(method, template),
    };
    Some(body)
}

fn body_of_room(method: &Method, template: &str) -> Option<Value> {
    // Nothing listens there.
    let llm = json!({"model": "openai/m", "api_key": "sk-secret", "base_url": "http://127.0.0.1:9/v1"});
    let body = match (method.as_str(), template) {
        ("PATCH", "/api/settings") => json!({"misc_settings_diff": {"a": 1}}),
        ("POST" | "PATCH", "/api/settings/mcp/{settings_key}") => json!({"command": "true"}),
        ("PUT", "/api/settings/secrets") => json!({"name": "A", "value": "sk-secret"}),
        ("POST", "/api/workspaces") => json!({"workspaces": [{"id": "w", "name": "w", "path": "/w"}]}),
        ("POST", "/api/workspaces/parents") => json!({"parents": [{"id": "w", "name": "w", "path": "/w"}]}),
        ("POST", "/api/profiles/{name}" | "/api/profiles/{name}/validate") => json!({ "llm": llm }),
        ("POST", path) if path.ends_with("/rename") => json!({"new_name": "p2"}),
        ("POST", "/api/agent-profiles/{name}") => json!({"llm_profile_ref": "p1"}),
        ("POST", "/api/meta-profiles/{name}") => {
            json!({"classifier_model": "p1", "classes": [{"name": "a", "description": "b", "model": "p1"}]})
        }
        ("POST", "/api/llm/provider-connections") => json!({"display_name": "D", "api_key": "sk-secret"}),
        ("PATCH", "/api/llm/provider-connections/{connection_id}") => json!({"display_name": "E"}),
        ("POST", "/api/llm/subscription/openai/device/poll") => json!({"device_code": "d"}),
        ("POST", "/api/skills" | "/api/plugins" | "/api/sub-agents") => {
            json!({"load_user": false, "load_project": false})
        }
        ("POST", "/api/hooks") => json!({}),
        (
            "POST",
            "/api/skills/install"
            | "/api/plugins/install"
            | "/api/plugins/fetch"
            | "/api/canvas-extensions/install",
        ) => {
            json!({"source": "/nowhere"})
        }
        ("PATCH", path) if path.contains("/installed/") => json!({"enabled": true}),
        ("POST", path) if path.ends_with("/backend/prepare") || path.ends_with("/backend/start") => {
            json!({"revision": "r"})
        }
        ("POST", "/api/mcp/test" | "/api/mcp/oauth/start") => json!({"server": {"command": "true"}}),
        ("POST", "/api/mcp/oauth/callback/{job_id}") => {
            json!({"callback_url": "http://127.0.0.1:1/callback"})
        }
        ("POST", "/api/acp/models") => json!({"agent_settings": {"agent_kind": "acp"}}),
        ("POST", "/v1/chat/completions") => {
            json!({"model": "openhands_p1", "messages": [{"role": "user", "content": "x"}]})
        }
        ("POST", "/v1/responses") => json!({"model": "openhands_p1", "input": "x"}),
        _ => return None,
    };
    Some(body)
}
