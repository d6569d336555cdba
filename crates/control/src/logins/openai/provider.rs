//! OpenAI's side of a login, over HTTP.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use outbound::Outbound;
use ports::rpc::Code;
use reqwest::header::CONTENT_TYPE;
use reqwest::{StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

use crate::Refusal;

/// What programs call themselves there; it is public.
const CLIENT_ID: &str = "app_EMoamEEZ73f0CkXaXp7hrann";

const PATIENCE: Duration = Duration::from_secs(15);
const MOST_BYTES: usize = 64 << 10;

/// Between two polls, where nothing is said of it.
const USUAL_INTERVAL: u64 = 5;
/// Of a token, where nothing is said of it, in seconds.
const USUAL_LIFETIME: u64 = 3_600;

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

#[derive(Clone)]
pub(in crate::logins) struct Provider {
    outbound: Outbound,
    issuer: Arc<str>,
}

/// A login that the user is to allow.
pub(super) struct Begun {
    pub auth_id: SecretString,
    pub user_code: String,
    pub url: String,
    pub interval_seconds: u64,
}

pub(super) struct Tokens {
    pub access: SecretString,
    pub refresh: Option<SecretString>,
    pub lifetime_ms: u64,
}

impl Provider {
    pub fn new(outbound: Outbound, issuer: Arc<str>) -> Self {
        Self { outbound, issuer }
    }

    pub(super) async fn begin(&self) -> Result<Begun, Refusal> {
        let asked = json!({ "client_id": CLIENT_ID }).to_string();
        let (status, said) = self.post("/api/accounts/deviceauth/usercode", JSON, asked).await?;
        check(status)?;
        let user_code = text(&said, "user_code").or_else(|| text(&said, "usercode"));
        let interval = match said.get("interval") {
            Some(Value::String(seconds)) => seconds.trim().parse().ok(),
            Some(seconds) => seconds.as_u64(),
            None => Some(USUAL_INTERVAL),
        };
        let (Some(user_code), Some(auth_id), Some(interval)) =
            (user_code, text(&said, "device_auth_id"), interval)
        else {
            return Err(strange());
        };
        Ok(Begun {
            auth_id: auth_id.into(),
            user_code: user_code.to_owned(),
            url: format!("{}/codex/device", self.issuer),
            interval_seconds: interval.max(1),
        })
    }

    /// `None` as long as the user has not allowed it.
    pub(super) async fn poll(
        &self,
        auth_id: &SecretString,
        user_code: &SecretString,
    ) -> Result<Option<Tokens>, Refusal> {
        let asked =
            json!({"device_auth_id": auth_id.expose_secret(), "user_code": user_code.expose_secret()});
        let (status, said) = self.post("/api/accounts/deviceauth/token", JSON, asked.to_string()).await?;
        if matches!(status, StatusCode::FORBIDDEN | StatusCode::NOT_FOUND) {
            return Ok(None);
        }
        check(status)?;
        let (Some(code), Some(verifier)) = (text(&said, "authorization_code"), text(&said, "code_verifier"))
        else {
            return Err(strange());
        };
        let redirect = format!("{}/deviceauth/callback", self.issuer);
        let tokens = self
            .tokens(&[
                ("grant_type", "authorization_code"),
                ("code", code),
                ("redirect_uri", &redirect),
                ("client_id", CLIENT_ID),
                ("code_verifier", verifier),
            ])
            .await?;
        if tokens.refresh.is_none() {
            return Err(strange());
        }
        Ok(Some(tokens))
    }

    pub(super) async fn refresh(&self, refresh: &SecretString) -> Result<Tokens, Refusal> {
        self.tokens(&[
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh.expose_secret()),
            ("client_id", CLIENT_ID),
        ])
        .await
    }

    async fn tokens(&self, fields: &[(&str, &str)]) -> Result<Tokens, Refusal> {
        let (status, said) = self.post("/oauth/token", FORM, form(fields)).await?;
        check(status)?;
        let access = text(&said, "access_token").ok_or_else(strange)?;
        let seconds = said.get("expires_in").and_then(Value::as_u64).unwrap_or(USUAL_LIFETIME);
        Ok(Tokens {
            access: access.into(),
            refresh: text(&said, "refresh_token").map(SecretString::from),
            lifetime_ms: seconds.saturating_mul(1_000),
        })
    }

    /// What is no JSON is null.
    async fn post(&self, path: &str, kind: &str, body: String) -> Result<(StatusCode, Value), Refusal> {
        let url = Url::parse(&format!("{}{path}", self.issuer)).map_err(|error| unreached(&error))?;
        let client = self.outbound.client(&url).map_err(|error| unreached(&error))?;
        let request = client.post(url).timeout(PATIENCE).header(CONTENT_TYPE, kind).body(body);
        let failed = |error: reqwest::Error| unreached(&error.without_url());
        let mut response = request.send().await.map_err(failed)?;
        let (status, mut body) = (response.status(), Vec::new());
        while let Some(piece) = response.chunk().await.map_err(failed)? {
            body.extend_from_slice(&piece);
            if body.len() > MOST_BYTES {
                return Err(strange());
            }
        }
        Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
    }
}

/// The account that a token is for.
pub(super) fn account_of(access: &SecretString) -> Option<String> {
    let claims = access.expose_secret().split('.').nth(1)?;
    let claims = URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).ok()?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    claims.get("https://api.openai.com/auth")?.get("chatgpt_account_id")?.as_str().map(str::to_owned)
}

/// A form is written as a query is.
fn form(fields: &[(&str, &str)]) -> String {
    let url = Url::parse_with_params("http://form/", fields);
    url.ok().and_then(|url| url.query().map(str::to_owned)).unwrap_or_default()
}

fn text<'a>(said: &'a Value, field: &str) -> Option<&'a str> {
    said.get(field).and_then(Value::as_str).filter(|text| !text.is_empty())
}

fn check(status: StatusCode) -> Result<(), Refusal> {
    if status.is_success() {
        return Ok(());
    }
    tracing::warn!(status = status.as_u16(), "OpenAI refuses a login");
    Err(failed())
}

fn strange() -> Refusal {
    tracing::warn!("OpenAI's answer about a login is not understood");
    failed()
}

fn unreached(error: &dyn std::error::Error) -> Refusal {
    tracing::warn!(%error, "OpenAI is not reached for a login");
    failed()
}

fn failed() -> Refusal {
    Refusal::Coded { code: Code::Upstream, detail: "The login service cannot be reached.".into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_account_is_read_from_the_token() {
        let claims = json!({"https://api.openai.com/auth": {"chatgpt_account_id": "acc-1"}}).to_string();
        let token = format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims));
        assert_eq!(account_of(&token.into()).as_deref(), Some("acc-1"));
        for token in ["", "opaque", "a.!.c", "a.e30.c"] {
            assert_eq!(account_of(&token.into()), None, "{token}");
        }
    }

    #[test]
    fn a_form_is_escaped() {
        assert_eq!(form(&[("a", "x y&z"), ("b", "é=")]), "a=x+y%26z&b=%C3%A9%3D");
    }
}
