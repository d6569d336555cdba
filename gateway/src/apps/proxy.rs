//! What a frame asks of a program.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use control::Tasks;
use control::apps::Apps;
use http::header::{HeaderMap, ORIGIN};
use http::{Method, StatusCode};

use super::forward;
use super::session::{asked_at, not_allowed, not_ready, tokens};
use super::{check_name, path};
use crate::admission::Admission;
use crate::auth::Auth;
use crate::error::{ApiError, ApiResult};
use crate::front::Front;
use crate::gate::is_websocket;
use crate::ingress::{Ingress, Origin, Public};
use crate::rates::of_pages;

pub(super) async fn proxy(
    State(apps): State<Apps>,
    State(auth): State<Auth>,
    State(ingress): State<Ingress>,
    State(front): State<Front>,
    State(tasks): State<Tasks>,
    mut request: Request,
) -> ApiResult<Response> {
    let asked = request.uri().path().to_owned();
    let (name, target) = path::split(&asked).ok_or_else(ApiError::not_found)?;
    check_name(name)?;
    if !path::stays(target) {
        return Err(ApiError::bad_request("Invalid backend path"));
    }
    let public = asked_at(&ingress, &front, request.headers())?;
    // The edge has made it this, for all other routes.
    if request.method() == Method::TRACE {
        *request.method_mut() = Method::HEAD;
    }
    let is_safe = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if (!is_safe || is_websocket(request.headers())) && !is_own_page(request.headers(), public) {
        return Err(not_allowed());
    }
    let session = tokens(request.headers()).find_map(|token| ingress.find(token, name));
    let session = session.ok_or_else(|| ApiError::plain(StatusCode::UNAUTHORIZED))?;
    if let Some(admission) = request.extensions().get::<Admission>() {
        admission.prove();
    }
    auth.rates().admit_caller(session.key.map(of_pages), &session.tenant)?;
    let port = apps.endpoint(&session.tenant, name).await?.ok_or_else(not_ready)?;
    if port != session.port {
        return Err(ApiError::plain(StatusCode::UNAUTHORIZED));
    }
    // It takes a file of this process, as that of the browser does.
    let seat = match request.extensions().get::<Admission>() {
        Some(admission) => Some(Arc::new(admission.one_more().ok_or_else(too_many)?)),
        None => None,
    };
    let query = request.uri().query().map(path::without_keys).filter(|query| !query.is_empty());
    let target = match query {
        Some(query) => format!("{target}?{query}"),
        None => target.to_owned(),
    };
    forward::forward(request, &target, &session, seat, &tasks).await
}

fn too_many() -> ApiError {
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "Too many connections are open")
}

/// Whether a page of the ingress itself asks.
fn is_own_page(headers: &HeaderMap, public: &Public) -> bool {
    let origin = headers.get(ORIGIN).and_then(|origin| origin.to_str().ok()).and_then(Origin::of);
    origin.as_ref() == Some(&public.origin)
}
