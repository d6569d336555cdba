//! The cookie with which a browser shows files of workspaces: a signed token instead of the key itself.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{COOKIE, HOST, SET_COOKIE};
use http::{HeaderMap, HeaderValue, StatusCode};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use types::TenantId;

use crate::auth::{Caller, Right};
use crate::error::{ApiError, ApiResult};
use crate::routes::{Routes, routes};
use crate::tokens::Signer;
use crate::{App, cors};

const NAME: &str = "oh_workspace_session_key";
const LIFETIME: Duration = Duration::from_secs(12 * 60 * 60);

pub fn routes() -> Routes {
    Routes::new().routes(routes!(create_workspace_session, delete_workspace_session))
}

/// Makes the cookie, for the caller's tenant. Needs the key's or token's header.
#[utoipa::path(post, path = "/api/auth/workspace-session", tag = "Auth",
    responses((status = 204, description = "The cookie is set"), (status = 401, description = "No valid key")))]
async fn create_workspace_session(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let (token, age) = match app.config.is_open() {
        true => (String::new(), LIFETIME),
        false => app.sessions.mint(&caller)?,
    };
    answer(&app, &headers, &token, age)
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
    tenant: TenantId,
}

/// Makes and reads the cookies.
pub struct Sessions {
    signer: Signer,
}

impl Sessions {
    /// Cookies made under a `previous` secret stay good; those of any other are not accepted.
    #[must_use]
    pub fn new(secret: &SecretString, previous: &[SecretString]) -> Self {
        Self { signer: Signer::new("workspace-session", secret, previous) }
    }

    /// A token, and how long it is good: not longer than the caller's own credential.
    fn mint(&self, caller: &Caller) -> ApiResult<(String, Duration)> {
        let now = SystemTime::now();
        let left = caller.until.map(|until| until.duration_since(now).unwrap_or_default());
        let age = left.map_or(LIFETIME, |left| left.min(LIFETIME));
        let exp = now.duration_since(UNIX_EPOCH).unwrap_or_default() + age;
        let claims = Claims { exp: exp.as_secs(), tenant: caller.tenant.clone() };
        Ok((self.signer.sign(&claims).map_err(ApiError::internal)?, age))
    }

    /// Whom a cookie of the request lets read.
    #[must_use]
    pub fn caller(&self, headers: &HeaderMap) -> Option<Caller> {
        let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        let mut pairs =
            cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        let claims = pairs.find_map(
            |(name, value)| {
                if name == NAME { self.signer.open::<Claims>(value) } else { None }
            },
        )?;
        let until = UNIX_EPOCH + Duration::from_secs(claims.exp);
        Some(Caller {
            tenant: claims.tenant,
            rights: [Right::Read].into_iter().collect(),
            until: Some(until),
        })
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
    fn a_cookie_lets_its_tenant_read_and_nothing_else() {
        let sessions = Sessions::new(&"one".into(), &[]);
        let (token, age) = sessions.mint(&Caller::operator()).unwrap();
        let caller = sessions.caller(&cookie(&token)).unwrap();
        assert_eq!((caller.tenant.as_str(), age), ("default", LIFETIME));
        assert!(caller.may(Right::Read) && !caller.may(Right::Write) && !caller.may(Right::Admin));
        assert_eq!(sessions.caller(&cookie("")), None);
        assert_eq!(Sessions::new(&"two".into(), &[]).caller(&cookie(&token)), None);
    }

    #[test]
    fn a_cookie_ends_with_the_token_it_was_made_for() {
        let until = SystemTime::now() + Duration::from_secs(90);
        let caller = Caller { until: Some(until), ..Caller::operator() };
        let (_, age) = Sessions::new(&"one".into(), &[]).mint(&caller).unwrap();
        assert!(age <= Duration::from_secs(90) && age > Duration::from_secs(80));
    }
}
