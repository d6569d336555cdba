//! The cookie with which a browser shows files of workspaces: a signed token instead of the key itself.

use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::SET_COOKIE;
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::auth::{Auth, COOKIE_LIFETIME, COOKIE_NAME, Caller};
use crate::described::{Routes, routes};
use crate::error::{ApiError, ApiResult};
use crate::front::Front;

pub fn routes() -> Routes {
    Routes::new().routes(routes!(create_workspace_session, delete_workspace_session))
}

/// Makes the cookie, for the caller's tenant. Needs the key's or token's header.
#[utoipa::path(post, path = "/api/auth/workspace-session", tag = "Auth",
    responses((status = 204, description = "The cookie is set"), (status = 401, description = "No valid key")))]
async fn create_workspace_session(
    State(front): State<Front>,
    State(auth): State<Auth>,
    caller: Caller,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let (token, age) = match auth.is_open() {
        true => (String::new(), COOKIE_LIFETIME),
        false => auth.sessions().mint(&caller).map_err(ApiError::internal)?,
    };
    answer(&front, &headers, &token, age)
}

/// Takes the cookie back.
#[utoipa::path(delete, path = "/api/auth/workspace-session", tag = "Auth",
    responses((status = 204, description = "The cookie is cleared"), (status = 401, description = "No valid key")))]
async fn delete_workspace_session(State(front): State<Front>, headers: HeaderMap) -> ApiResult<Response> {
    answer(&front, &headers, "", Duration::ZERO)
}

fn answer(front: &Front, headers: &HeaderMap, value: &str, age: Duration) -> ApiResult<Response> {
    let mut cookie = format!(
        "{COOKIE_NAME}={value}; HttpOnly; Max-Age={}; Path=/api/conversations; SameSite=none",
        age.as_secs()
    );
    if front.is_secure(headers) {
        cookie.push_str("; Secure; Partitioned");
    }
    let cookie = HeaderValue::from_str(&cookie).map_err(ApiError::internal)?;
    Ok((StatusCode::NO_CONTENT, [(SET_COOKIE, cookie)]).into_response())
}
