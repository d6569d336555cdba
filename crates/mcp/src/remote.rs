//! A server on the network, as settings describe one.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use outbound::{Outbound, add_headers};
use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderMap};
use serde_json::Value;
use tokio::time::{Instant, timeout};
use types::mcp::{McpFound, ToolCall};

use crate::{Error, Http, Sse, probe};

/// Where a server is, and with what it is asked.
#[derive(Clone)]
pub struct Remote {
    pub url: Url,
    headers: HeaderMap,
    is_sse: bool,
}

impl Remote {
    /// From a server as the form has it, its secrets in plain text.
    ///
    /// # Errors
    /// `Invalid`.
    pub fn read(server: &Value) -> Result<Self, Error> {
        let url = text(server, "url").ok_or(Error::Invalid)?;
        let mut remote = Self {
            url: Url::parse(url).map_err(|_| Error::Invalid)?,
            headers: HeaderMap::new(),
            is_sse: text(server, "transport") == Some("sse"),
        };
        remote.add_all(server.get("headers"))?;
        if let Some(auth) = server.get("auth") {
            remote.authorize(auth)?;
        }
        Ok(remote)
    }

    fn authorize(&mut self, auth: &Value) -> Result<(), Error> {
        let secret = text(auth, "value").filter(|value| !value.is_empty());
        match (text(auth, "strategy"), secret) {
            (Some("api_key"), Some(key)) => match text(auth, "header_name").filter(|name| !name.is_empty()) {
                Some(name) => self.add(name, key),
                None => self.bear(key),
            },
            (Some("bearer"), Some(token)) => self.bear(token),
            (Some("basic"), _) => match (text(auth, "username"), text(auth, "password")) {
                (Some(user), Some(password)) => self.add(
                    "authorization",
                    &format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))),
                ),
                _ => Ok(()),
            },
            (Some("header"), _) => self.add_all(auth.get("headers")),
            // A login's token is added by whoever has it.
            _ => Ok(()),
        }
    }

    /// Shows this token.
    ///
    /// # Errors
    /// `Invalid`.
    pub fn bear(&mut self, token: &str) -> Result<(), Error> {
        self.add(AUTHORIZATION.as_str(), &format!("Bearer {token}"))
    }

    fn add_all(&mut self, headers: Option<&Value>) -> Result<(), Error> {
        let named = headers.and_then(Value::as_object).into_iter().flatten();
        let named = named.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)));
        add_headers(&mut self.headers, named).map_err(|_| Error::Invalid)
    }

    fn add(&mut self, name: &str, value: &str) -> Result<(), Error> {
        add_headers(&mut self.headers, [(name, value)]).map_err(|_| Error::Invalid)
    }
}

/// As [`probe()`], of a server on the network.
///
/// # Errors
/// Where the server does not work.
pub async fn probe_remote(
    outbound: &Outbound,
    remote: &Remote,
    tool_call: Option<&ToolCall>,
    patience: Duration,
) -> Result<McpFound, Error> {
    let Remote { url, headers, is_sse } = remote.clone();
    if !is_sse {
        return probe(Http::new(outbound.clone(), url, headers), tool_call, patience).await;
    }
    let give_up = Instant::now() + patience;
    let opening = Sse::open(outbound.clone(), &url, headers);
    let opened = timeout(patience, opening).await.map_err(|_| Error::TooSlow(patience))??;
    probe(opened, tool_call, give_up.saturating_duration_since(Instant::now())).await
}

fn text<'a>(value: &'a Value, field: &str) -> Option<&'a str> {
    value.get(field).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use outbound::MOST_HEADERS;
    use reqwest::header::HeaderValue;
    use serde_json::json;

    use super::*;

    fn headers(server: &Value) -> Vec<(String, String)> {
        let remote = Remote::read(server).unwrap();
        let shown = |value: &HeaderValue| value.to_str().unwrap().to_owned();
        remote.headers.iter().map(|(name, value)| (name.to_string(), shown(value))).collect()
    }

    #[test]
    fn each_way_to_say_who_one_is_becomes_a_header() {
        for (auth, name, value) in [
            (json!({"strategy": "bearer", "value": "t"}), "authorization", "Bearer t"),
            (json!({"strategy": "api_key", "value": "k"}), "authorization", "Bearer k"),
            (json!({"strategy": "api_key", "value": "k", "header_name": "X-Key"}), "x-key", "k"),
            (json!({"strategy": "basic", "username": "u", "password": "p"}), "authorization", "Basic dTpw"),
            (json!({"strategy": "header", "headers": {"X-A": "b"}}), "x-a", "b"),
        ] {
            let found = headers(&json!({"url": "http://x", "auth": auth}));
            assert_eq!(found, [(name.to_owned(), value.to_owned())], "{auth}");
        }
        for auth in [json!({"strategy": "none"}), json!({"strategy": "oauth2"}), json!(null)] {
            assert!(headers(&json!({"url": "http://x", "auth": auth})).is_empty(), "{auth}");
        }
    }

    #[test]
    fn no_number_of_headers_is_too_much_for_the_server() {
        let many = |number: usize| Value::from_iter((0..number).map(|name| (format!("x{name}"), "v")));
        for number in [MOST_HEADERS + 1, 30_000] {
            for server in [
                json!({"url": "http://x", "headers": many(number)}),
                json!({"url": "http://x", "auth": {"strategy": "header", "headers": many(number)}}),
            ] {
                assert!(matches!(Remote::read(&server), Err(Error::Invalid)), "{number}");
            }
        }
        assert_eq!(headers(&json!({"url": "http://x", "headers": many(MOST_HEADERS)})).len(), MOST_HEADERS);
    }

    #[test]
    fn what_is_no_url_or_no_header_is_told_without_being_repeated() {
        for server in [
            json!({"url": "marked words"}),
            json!({"url": "http://x", "headers": {"marked words": "v"}}),
            json!({"url": "http://x", "headers": {"X": "marked\nwords"}}),
        ] {
            let error = Remote::read(&server).err().unwrap();
            assert!(!error.to_string().contains("marked"), "{error}");
        }
    }
}
