//! What a login has come to, in the form in which settings keep it.

use reqwest::Url;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use types::time::unix_seconds;

use super::provider::is_part_of;

/// What is kept of an answer with tokens. Whatever else a provider says may hold anything, also what is as good as a token.
const OF_TOKENS: [&str; 5] = ["access_token", "token_type", "expires_in", "scope", "refresh_token"];

/// What is kept of a client. The last two are ours: where its secret and its tokens may be sent, and for what they are.
const OF_CLIENTS: [&str; 12] = [
    "client_id",
    "client_secret",
    "client_id_issued_at",
    "client_secret_expires_at",
    "client_name",
    "redirect_uris",
    "grant_types",
    "response_types",
    "scope",
    "token_endpoint_auth_method",
    TOKEN_ENDPOINT,
    RESOURCE,
];

pub(super) const TOKEN_ENDPOINT: &str = "token_endpoint";
pub(super) const RESOURCE: &str = "resource";

/// Bytes of one of these, as JSON.
const MOST_FIELD: usize = 8 << 10;

/// Tokens, who they were given to, and until when they are good.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_info: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_expires_at: Option<f64>,
}

impl State {
    /// That of a server as the form has it, without tokens that are for another one: somebody has changed the address since.
    #[must_use]
    pub fn of(server: &Value) -> Self {
        let state = server.pointer("/auth/state").cloned().unwrap_or_default();
        let mut state: Self = serde_json::from_value(state).unwrap_or_default();
        state.tokens = state.tokens.map(|tokens| only(tokens, &OF_TOKENS));
        state.client_info = state.client_info.map(client_info);
        let url = server.get("url").and_then(Value::as_str).and_then(|url| Url::parse(url).ok());
        if url.is_some_and(|url| !state.is_for(&url)) {
            return Self { tokens: None, token_expires_at: None, ..state };
        }
        state
    }

    /// Whether its tokens may be shown to `server`: one that they were not given out for could use them elsewhere. A login that
    /// was not made here does not say what it is for.
    fn is_for(&self, server: &Url) -> bool {
        let known = self.client_info.as_ref().and_then(|info| info.get(RESOURCE)?.as_str());
        known.is_none_or(|resource| Url::parse(resource).is_ok_and(|resource| is_part_of(server, &resource)))
    }

    #[must_use]
    pub fn access_token(&self) -> Option<&str> {
        self.token("access_token")
    }

    #[must_use]
    pub fn refresh_token(&self) -> Option<&str> {
        self.token("refresh_token")
    }

    fn token(&self, name: &str) -> Option<&str> {
        self.tokens.as_ref()?.get(name)?.as_str()
    }

    /// New tokens in place of the old; one to renew them with stays where no other is given.
    pub(super) fn renew(&mut self, tokens: Map<String, Value>) {
        let mut tokens = only(tokens, &OF_TOKENS);
        if let (false, Some(old)) = (tokens.contains_key("refresh_token"), self.refresh_token()) {
            tokens.insert("refresh_token".to_owned(), old.into());
        }
        let lasts = tokens.get("expires_in").and_then(Value::as_f64);
        self.token_expires_at = lasts.map(|seconds| unix_seconds() + seconds);
        self.tokens = Some(tokens);
    }
}

/// What is kept of who we are to a provider.
pub(super) fn client_info(info: Map<String, Value>) -> Map<String, Value> {
    only(info, &OF_CLIENTS)
}

/// Whether a client is one of the provider that gives out tokens here.
pub(super) fn is_of(client: &Map<String, Value>, token_endpoint: &str) -> bool {
    client.get(TOKEN_ENDPOINT).and_then(Value::as_str) == Some(token_endpoint)
}

/// Whether nothing of an answer with tokens is too long to be kept.
pub(super) fn tokens_fit(tokens: &Map<String, Value>) -> bool {
    fit(tokens, &OF_TOKENS)
}

/// The same of who we are to a provider.
pub(super) fn client_fits(client: &Map<String, Value>) -> bool {
    fit(client, &OF_CLIENTS)
}

fn fit(object: &Map<String, Value>, fields: &[&str]) -> bool {
    fields.iter().filter_map(|&field| object.get(field)).all(is_short)
}

fn only(mut object: Map<String, Value>, fields: &[&str]) -> Map<String, Value> {
    object.retain(|name, value| fields.contains(&name.as_str()) && is_short(value));
    object
}

fn is_short(value: &Value) -> bool {
    value.to_string().len() <= MOST_FIELD
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn of_what_a_provider_says_only_what_is_needed_is_kept() {
        let tokens = json!({"access_token": "a", "id_token": "marked", "token_type": "Bearer",
            "refresh_token": "r".repeat(MOST_FIELD)});
        let client = json!({"client_id": "c", "registration_access_token": "marked", "scope": "s"});
        let server = json!({"auth": {"state": {"tokens": tokens, "client_info": client}}});
        let kept = State::of(&server);
        let mut renewed = State::default();
        renewed.renew(tokens.as_object().unwrap().clone());
        for tokens in [kept.tokens.unwrap(), renewed.tokens.unwrap()] {
            assert_eq!(Value::from(tokens), json!({"access_token": "a", "token_type": "Bearer"}));
        }
        assert_eq!(Value::from(kept.client_info.unwrap()), json!({"client_id": "c", "scope": "s"}));
    }

    #[test]
    fn tokens_are_for_the_server_that_they_were_given_out_for() {
        let server = |url: &str| Url::parse(url).unwrap();
        let info = json!({"client_id": "c", RESOURCE: "https://s.example/mcp"}).as_object().cloned();
        let state = State { client_info: info, ..State::default() };
        assert!(state.is_for(&server("https://s.example/mcp?key=k")));
        for other in ["https://t.example/mcp", "http://s.example/mcp", "https://s.example/other"] {
            assert!(!state.is_for(&server(other)), "{other}");
        }
        assert!(State::default().is_for(&server("https://s.example/mcp")), "it is not known");
    }

    #[test]
    fn what_renews_a_token_stays_until_there_is_another() {
        let tokens = |value: Value| value.as_object().unwrap().clone();
        let mut state = State::default();
        state.renew(tokens(json!({"access_token": "a", "refresh_token": "r", "expires_in": 5})));
        state.renew(tokens(json!({"access_token": "b", "expires_in": 3600})));
        assert_eq!((state.access_token(), state.refresh_token()), (Some("b"), Some("r")));
        assert!(state.token_expires_at.is_some_and(|end| end > unix_seconds() + 3_000.0));
        state.renew(tokens(json!({"access_token": "c", "refresh_token": "s"})));
        assert_eq!((state.refresh_token(), state.token_expires_at), (Some("s"), None));
    }
}
