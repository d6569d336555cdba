//! Where a page gives its ticket back, and is given the session key: over nothing that can be listened to (loopback, or the
//! https of a proxy that is believed), and as a page of this very origin.

use axum::Json as Answer;
use axum::extract::{Extension, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::{HeaderMap, StatusCode, header};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::json;

use crate::admission::Admission;
use crate::described::Routes;
use crate::error::{ApiError, ApiResult};
use crate::extract::Json;
use crate::front::Front;
use crate::gate::is_same_origin;
use crate::ticket::{PATH, Ticket};

pub fn routes() -> Routes {
    Routes::new().route(PATH, post(redeem))
}

#[derive(Deserialize)]
struct Given {
    ticket: String,
}

async fn redeem(
    State(ticket): State<Ticket>,
    State(front): State<Front>,
    admission: Option<Extension<Admission>>,
    headers: HeaderMap,
    Json(given): Json<Given>,
) -> ApiResult<Response> {
    let is_near = admission.is_some_and(|Extension(admission)| admission.is_of_loopback());
    let is_private = front.is_encrypted(&headers) || (is_near && front.is_secure(&headers));
    if !is_private {
        return Err(refused("A ticket is good over loopback or https alone"));
    }
    if !headers.get(header::ORIGIN).is_some_and(|origin| is_same_origin(origin, &headers)) {
        return Err(refused("A ticket is good for a page of this server alone"));
    }
    let key = ticket.take(&given.ticket);
    let key = key.ok_or_else(|| refused("This ticket is not good any more; enter the session key"))?;
    let body = json!({ "session_api_key": key.expose_secret() });
    Ok(([(header::CACHE_CONTROL, "no-store")], Answer(body)).into_response())
}

fn refused(why: &'static str) -> ApiError {
    ApiError::new(StatusCode::FORBIDDEN, why)
}
