//! Calls with an `Idempotency-Key`: sent again, on any replica, they act once, for 24 hours.
//!
//! The first to come claims the key in the bucket `IDEMPOTENCY`, renews the claim while it acts, and stores the
//! answer there; the others get that answer, or are told to wait. Who finds a claim that is renewed no more
//! takes it over (by its own sight: clocks are not compared): the claim holds an id for what the call creates, so that a conversation or a message that
//! was stored before its gateway died is found and not made again. What a client can do nothing about but try
//! again later (a server's failure, no free slot) is not kept.

mod answer;
mod attempt;
mod call;
mod claim;
mod sweep;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::BytesMut;
use control::Tasks;
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use http::{HeaderValue, StatusCode, header};
use ports::Kv;
use tracing::Instrument;

use crate::error::{ApiError, ApiResult, failure, panic_text};
use crate::extract::JsonLimit;

use answer::{KeptAnswer, LONGEST};
pub use attempt::Attempt;
use call::Call;
pub use claim::Met;
use claim::{Claim, Claimed, claim};
pub use sweep::sweep;

/// Where the calls that were made are remembered. Cheap to clone.
#[derive(Clone)]
pub struct Idempotency {
    pub kv: Arc<dyn Kv>,
    pub met: Met,
    pub tasks: Tasks,
    pub json_limit: JsonLimit,
}

/// Does what a request asks for unless that was done before. Behind the guard.
pub async fn once(State(idempotency): State<Idempotency>, request: Request, next: Next) -> Response {
    match answer_once(&idempotency, request, next).await {
        Ok(response) => response,
        Err(error) => error.into_response(),
    }
}

async fn answer_once(idempotency: &Idempotency, request: Request, next: Next) -> ApiResult<Response> {
    let Some(key) = call::key(&request)? else { return Ok(next.run(request).await) };
    let (call, request) = Call::read(idempotency.json_limit.0, &key, request).await?;
    // Goes on to its end also when the client does not wait for it: a claim is never left to nobody.
    let answering = claim_and_perform(idempotency.clone(), call, request, next);
    idempotency.tasks.spawn(answering.in_current_span()).await.map_err(ApiError::internal)?
}

async fn claim_and_perform(
    idempotency: Idempotency,
    call: Call,
    request: Request,
    next: Next,
) -> ApiResult<Response> {
    match claim(&idempotency.kv, &idempotency.met, &call.name, &call.fingerprint).await? {
        Claimed::Mine(claim) => perform(claim, call, request, next).await,
        Claimed::Answered(answer) => Ok(answer.replayed()),
        Claimed::UnderWay => {
            let busy = ApiError::new(StatusCode::CONFLICT, "A call with this Idempotency-Key is under way");
            let mut response = busy.into_response();
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            Ok(response)
        }
        Claimed::OtherCall => {
            Err(ApiError::unprocessable("This Idempotency-Key was used for a call with another body"))
        }
    }
}

async fn perform(mut claim: Claim, call: Call, mut request: Request, next: Next) -> ApiResult<Response> {
    request.extensions_mut().insert(claim.attempt());
    let acting = AssertUnwindSafe(next.run(request)).catch_unwind();
    let response = tokio::select! {
        outcome = acting => outcome.unwrap_or_else(|panic| failure(&panic_text(panic.as_ref()))),
        never = claim.keep() => match never {},
    };
    settle(claim, &call, response).await
}

/// Stores the answer where it is worth it, and gives it on. Of a long one no more is read than is kept of any.
async fn settle(claim: Claim, call: &Call, response: Response) -> ApiResult<Response> {
    let (parts, body) = response.into_parts();
    let is_final = is_final(parts.status, call.is_streamed);
    let mut rest = body.into_data_stream();
    let mut begin = BytesMut::new();
    while begin.len() <= LONGEST {
        match rest.try_next().await {
            Ok(Some(more)) => begin.extend_from_slice(&more),
            Ok(None) => break,
            Err(error) => {
                match is_final {
                    // It has acted, whatever became of its answer.
                    true => claim.finish(&KeptAnswer::without_body(&parts)).await,
                    false => claim.release().await,
                }
                return Err(ApiError::internal(error));
            }
        }
    }
    let begin = begin.freeze();
    if is_final {
        claim.finish(&KeptAnswer::of(&parts, begin.clone())).await;
    } else {
        claim.release().await;
    }
    let body = stream::iter([Ok(begin)]).chain(rest);
    Ok(Response::from_parts(parts, Body::from_stream(body)))
}

/// Whether the same call, sent again, is to get the same answer. A streamed body may have failed on its way.
fn is_final(status: StatusCode, is_streamed: bool) -> bool {
    let later = [StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT].contains(&status);
    let failed = status.is_server_error() || (is_streamed && !status.is_success());
    !later && !failed
}
