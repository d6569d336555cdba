//! The cookie with which a frame shows one program.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use control::apps::Apps;
use http::header::{ORIGIN, SET_COOKIE};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;

use super::check_name;
use crate::auth::{Caller, cookies};
use crate::error::{ApiError, ApiResult};
use crate::extract::{Json, Path};
use crate::front::Front;
use crate::gate::Gate;
use crate::ingress::{Ingress, LIFETIME, Origin, Public};

const NAME: &str = "oh_app_backend_session";

/// What a frame may do. That it keeps its origin is safe where that is one of its own.
const SANDBOX: &str = "allow-forms allow-modals allow-popups allow-same-origin allow-scripts";

/// What a page needs to show a program.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = AppBackendSessionResponse)]
pub(super) struct SessionResponse {
    /// Without a credential.
    ingress_url: String,
    expires_at: String,
    iframe_sandbox: String,
}

/// Makes a session for one program that is ready, and sets its cookie. Asked at the ingress origin, by a page of another one.
#[utoipa::path(post, path = "/app-backends/{extension_name}/session", tag = "Canvas App Backends",
    params(("extension_name" = String, Path)),
    responses((status = 200, body = SessionResponse), (status = 401, description = "No valid key"),
        (status = 403, description = "Pages of this origin may not"), (status = 409, description = "The ingress is no other origin"),
        (status = 421, description = "Not asked at the ingress"),
        (status = 503, description = "There is no ingress, or the program is not ready")))]
pub(super) async fn create_app_backend_session(
    State(apps): State<Apps>,
    State(ingress): State<Ingress>,
    State(gate): State<Gate>,
    caller: Caller,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    check_name(&name)?;
    let public = asked_from_outside(&ingress, &gate, &headers)?;
    let port = apps.endpoint(&caller.tenant, &name).await?.ok_or_else(not_ready)?;
    let (token, expires_at) = ingress.begin(&caller.tenant, caller.key, &name, port);
    let cookie = cookie(&gate.front, &headers, &name, &token, LIFETIME.as_secs())?;
    let answer = SessionResponse {
        ingress_url: format!("{}/app-backends/{name}/", public.url),
        expires_at: types::time::utc_of_unix(expires_at),
        iframe_sandbox: SANDBOX.to_owned(),
    };
    Ok(([(SET_COOKIE, cookie)], Json(answer)).into_response())
}

/// Ends the session of the cookie.
#[utoipa::path(delete, path = "/app-backends/{extension_name}/session", tag = "Canvas App Backends",
    params(("extension_name" = String, Path)),
    responses((status = 204, description = "It has ended"), (status = 401, description = "No valid key"),
        (status = 403, description = "Pages of this origin may not"), (status = 409, description = "The ingress is no other origin"),
        (status = 421, description = "Not asked at the ingress"), (status = 503, description = "There is no ingress")))]
pub(super) async fn delete_app_backend_session(
    State(ingress): State<Ingress>,
    State(gate): State<Gate>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    check_name(&name)?;
    asked_from_outside(&ingress, &gate, &headers)?;
    tokens(&headers)
        .filter(|token| ingress.find(token, &name).is_some())
        .for_each(|token| ingress.end(token));
    let cookie = cookie(&gate.front, &headers, &name, "", 0)?;
    Ok((StatusCode::NO_CONTENT, [(SET_COOKIE, cookie)]).into_response())
}

/// What its own cookies of a request hold.
pub(super) fn tokens(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    cookies(headers, NAME)
}

/// The ingress, if the request has come to it.
///
/// # Errors
/// 503 where there is none, 421 for a request to another origin of this server.
pub(super) fn asked_at<'a>(
    ingress: &'a Ingress,
    front: &Front,
    headers: &HeaderMap,
) -> ApiResult<&'a Public> {
    let not_there = "Canvas App backend ingress is not configured";
    let public = ingress.public().ok_or_else(|| ApiError::new(StatusCode::SERVICE_UNAVAILABLE, not_there))?;
    if Origin::asked(front, headers).as_ref() != Some(&public.origin) {
        let elsewhere = "Canvas App request must use the configured ingress origin";
        return Err(ApiError::new(StatusCode::MISDIRECTED_REQUEST, elsewhere));
    }
    Ok(public)
}

pub(super) fn not_allowed() -> ApiError {
    ApiError::new(StatusCode::FORBIDDEN, "Origin is not allowed")
}

pub(super) fn not_ready() -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "Canvas App backend is not ready")
}

fn asked_from_outside<'a>(ingress: &'a Ingress, gate: &Gate, headers: &HeaderMap) -> ApiResult<&'a Public> {
    let public = asked_at(ingress, &gate.front, headers)?;
    let page = headers.get(ORIGIN).filter(|origin| gate.allows(origin)).ok_or_else(not_allowed)?;
    if page.to_str().ok().and_then(Origin::of).as_ref() == Some(&public.origin) {
        let same = "Canvas App ingress must use a separate browser origin";
        return Err(ApiError::new(StatusCode::CONFLICT, same));
    }
    Ok(public)
}

fn cookie(front: &Front, headers: &HeaderMap, name: &str, token: &str, age: u64) -> ApiResult<HeaderValue> {
    if !front.is_secure(headers) {
        let why = "Canvas App sessions require HTTPS or a loopback secure context";
        return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, why));
    }
    let cookie = format!(
        "{NAME}={token}; HttpOnly; Max-Age={age}; Path=/app-backends/{name}; SameSite=none; Secure; Partitioned"
    );
    HeaderValue::from_str(&cookie).map_err(ApiError::internal)
}
