//! The cookie with which a browser shows files of workspaces: a signed token instead of the key itself.

use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{HOST, SET_COOKIE};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::auth::{Auth, COOKIE_LIFETIME, COOKIE_NAME, Caller};
use crate::error::{ApiError, ApiResult};
use crate::routes::{Routes, routes};
use crate::{App, cors};

pub fn routes() -> Routes {
    Routes::new().routes(routes!(create_workspace_session, delete_workspace_session))
}

/// Makes the cookie, for the caller's tenant. Needs the key's or token's header.
#[utoipa::path(post, path = "/api/auth/workspace-session", tag = "Auth",
    responses((status = 204, description = "The cookie is set"), (status = 401, description = "No valid key")))]
async fn create_workspace_session(
    State(app): State<App>,
    State(auth): State<Auth>,
    caller: Caller,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let (token, age) = match auth.is_open() {
        true => (String::new(), COOKIE_LIFETIME),
        false => auth.sessions().mint(&caller).map_err(ApiError::internal)?,
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
        "{COOKIE_NAME}={value}; HttpOnly; Max-Age={}; Path=/api/conversations; SameSite=none",
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
