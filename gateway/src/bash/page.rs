//! Pages of stored events as response bodies.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::TryStreamExt;
use http::{HeaderValue, header};
use readmodel::bashlog::{Page, PageText, Tail, text_of};

use crate::error::ApiResult;

/// Pages up to this many bytes are read before the answer begins, so that a failure is still an answer.
const WHOLE: usize = 256 * 1024;

pub(super) async fn answer(tail: &Tail, page: Page) -> ApiResult<Response> {
    let PageText { length, parts } = text_of(tail.event_log(), &tail.log, page);
    let body = if length <= WHOLE {
        Body::from(parts.try_fold(Vec::with_capacity(length), append).await?)
    } else {
        Body::from_stream(parts)
    };
    let json = HeaderValue::from_static("application/json");
    Ok(([(header::CONTENT_TYPE, json), (header::CONTENT_LENGTH, length.into())], body).into_response())
}

async fn append(mut whole: Vec<u8>, part: Bytes) -> ports::Result<Vec<u8>> {
    whole.extend_from_slice(&part);
    Ok(whole)
}
