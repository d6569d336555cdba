//! The cookie with which a browser shows files of workspaces: a signed token instead of the key itself.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{COOKIE, HOST, SET_COOKIE};
use http::{HeaderMap, HeaderValue, StatusCode};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{ApiError, ApiResult};
use crate::routes::{Routes, routes};
use crate::{App, cors};

const NAME: &str = "oh_workspace_session_key";
const LIFETIME: Duration = Duration::from_secs(12 * 60 * 60);

/// The token's own type, so that no token made for something else is taken for one of these.
const TYPE: &str = "manyhands-workspace-session+jwt";

pub fn routes() -> Routes {
    Routes::new().routes(routes!(create_workspace_session, delete_workspace_session))
}

/// Makes the cookie. Needs the key's header.
#[utoipa::path(post, path = "/api/auth/workspace-session", tag = "Auth",
    responses((status = 204, description = "The cookie is set"), (status = 401, description = "No valid key")))]
async fn create_workspace_session(State(app): State<App>, headers: HeaderMap) -> ApiResult<Response> {
    let token = match app.config.keys.is_empty() {
        true => String::new(),
        false => app.sessions.mint().map_err(ApiError::internal)?,
    };
    answer(&app, &headers, &token, LIFETIME)
}

/// Takes the cookie back.
#[utoipa::path(delete, path = "/api/auth/workspace-session", tag = "Auth",
    responses((status = 204, description = "The cookie is cleared"), (status = 401, description = "No valid key")))]
async fn delete_workspace_session(State(app): State<App>, headers: HeaderMap) -> ApiResult<Response> {
    answer(&app, &headers, "", Duration::ZERO)
}

fn answer(app: &App, headers: &HeaderMap, value: &str, age: Duration) -> ApiResult<Response> {
    let mut cookie = format!(
        "{NAME}={value}; HttpOnly; Max-Age={}; Path=/api/conversations; SameSite=none",
        age.as_secs()
    );
    if is_secure(app, headers) {
        cookie.push_str("; Secure; Partitioned");
    }
    let cookie = HeaderValue::from_str(&cookie).map_err(ApiError::internal)?;
    Ok((StatusCode::NO_CONTENT, [(SET_COOKIE, cookie)]).into_response())
}

/// Whether the browser takes the connection for a secure one: https in front of us, or loopback.
fn is_secure(app: &App, headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let trusted = app.config.trust_forwarded_headers;
    let https = trusted && text("x-forwarded-proto").is_some_and(|proto| proto.eq_ignore_ascii_case("https"));
    let forwarded = text("x-forwarded-host").filter(|_| trusted);
    let host = forwarded.or_else(|| text(HOST.as_str())).map(cors::without_port);
    https || matches!(host, Some("localhost" | "127.0.0.1" | "[::1]"))
}

#[derive(Serialize, Deserialize)]
struct Claims {
    /// Seconds since 1970.
    exp: u64,
}

/// Mints and checks the tokens.
pub struct Sessions {
    encoding: EncodingKey,
    decoding: DecodingKey,
}

impl Sessions {
    /// Tokens of another secret are not accepted.
    #[must_use]
    pub fn new(secret: &SecretString) -> Self {
        let mut digest = Sha256::new();
        digest.update(b"manyhands workspace session\0");
        digest.update(secret.expose_secret().as_bytes());
        let key = digest.finalize();
        Self { encoding: EncodingKey::from_secret(&key), decoding: DecodingKey::from_secret(&key) }
    }

    fn mint(&self) -> jsonwebtoken::errors::Result<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let header = Header { typ: Some(TYPE.to_owned()), ..Header::new(Algorithm::HS256) };
        jsonwebtoken::encode(&header, &Claims { exp: (now + LIFETIME).as_secs() }, &self.encoding)
    }

    /// Whether a cookie of the request holds a token of ours that has not expired.
    #[must_use]
    pub fn accepts(&self, headers: &HeaderMap) -> bool {
        let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs =
            cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.any(|(name, value)| name == NAME && self.is_valid(value))
    }

    fn is_valid(&self, token: &str) -> bool {
        let decoded =
            jsonwebtoken::decode::<Claims>(token, &self.decoding, &Validation::new(Algorithm::HS256));
        decoded.is_ok_and(|token| token.header.typ.as_deref() == Some(TYPE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cookie(value: &str) -> HeaderMap {
        let line = format!("a=b; {NAME}={value}");
        HeaderMap::from_iter([(COOKIE, HeaderValue::from_str(&line).unwrap())])
    }

    #[test]
    fn only_own_unexpired_tokens_of_the_right_type_are_accepted() {
        let (ours, others) = (Sessions::new(&"one".into()), Sessions::new(&"two".into()));
        let token = ours.mint().unwrap();
        assert!(ours.accepts(&cookie(&token)));
        assert!(!others.accepts(&cookie(&token)));
        let signed = |typ: &str, exp| {
            let header = Header { typ: Some(typ.to_owned()), ..Header::default() };
            jsonwebtoken::encode(&header, &Claims { exp }, &ours.encoding).unwrap()
        };
        assert!(ours.accepts(&cookie(&signed(TYPE, u64::from(u32::MAX)))));
        assert!(!ours.accepts(&cookie(&signed("JWT", u64::from(u32::MAX)))));
        assert!(!ours.accepts(&cookie(&signed(TYPE, 1))));
        assert!(!ours.accepts(&cookie("")));
    }
}
