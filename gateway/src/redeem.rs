//! Where a page gives its ticket back, and is given the session key: over nothing that can be listened to (loopback, or the
//! https of a proxy that is believed), and as a page of this very origin.

use axum::Json as Answer;
use axum::extract::{Extension, FromRef, FromRequestParts, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::request::Parts;
use http::{StatusCode, header};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::json;

use crate::admission::Admission;
use crate::described::Routes;
use crate::error::{ApiError, ApiResult};
use crate::extract::{Json, JsonLimit};
use crate::front::Front;
use crate::gate::is_same_origin;
use crate::ticket::{PATH, Ticket};

/// A ticket is short, and who gives one has no key: little is held for him.
const MOST_BODY: JsonLimit = JsonLimit(4 * 1024);

pub fn routes() -> Routes {
    Routes::new().route(PATH, post(redeem)).map(|router| router.route_layer(Extension(MOST_BODY)))
}

#[derive(Deserialize)]
struct Given {
    ticket: String,
}

/// A page of this server, over nothing that can be listened to. Known before anything of the body is read.
struct OwnPage;

impl<S: Sync> FromRequestParts<S> for OwnPage
where
    Front: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let (front, headers) = (Front::from_ref(state), &parts.headers);
        let is_near = parts.extensions.get::<Admission>().is_some_and(Admission::is_of_loopback);
        let is_private = front.is_encrypted(headers) || (is_near && front.is_secure(headers));
        if !is_private {
            return Err(refused("A ticket is good over loopback or https alone"));
        }
        if !headers.get(header::ORIGIN).is_some_and(|origin| is_same_origin(origin, headers)) {
            return Err(refused("A ticket is good for a page of this server alone"));
        }
        Ok(Self)
    }
}

async fn redeem(_: OwnPage, State(ticket): State<Ticket>, Json(given): Json<Given>) -> ApiResult<Response> {
    let key = ticket.take(&given.ticket);
    let key = key.ok_or_else(|| refused("This ticket is not good any more; enter the session key"))?;
    let body = json!({ "session_api_key": key.expose_secret() });
    Ok(([(header::CACHE_CONTROL, "no-store")], Answer(body)).into_response())
}

fn refused(why: &'static str) -> ApiError {
    ApiError::new(StatusCode::FORBIDDEN, why)
}
