//! Pages of stored events as response bodies.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use http::{HeaderValue, header};
use readmodel::bashlog::{EventSummary, Page, PageText, Tail, list_of, text_of};

/// Pages up to this many bytes are read before the answer begins, so that a failure is still an answer.
const WHOLE: usize = 256 * 1024;

pub(super) async fn answer(tail: &Tail, page: Page) -> ports::Result<Response> {
    respond(text_of(tail.event_log(), &tail.log, page)).await
}

/// A list, with null where there is no event.
pub(super) async fn answer_list(tail: &Tail, entries: Vec<Option<EventSummary>>) -> ports::Result<Response> {
    respond(list_of(tail.event_log(), &tail.log, entries)).await
}

async fn respond<S>(text: PageText<S>) -> ports::Result<Response>
where
    S: Stream<Item = ports::Result<Bytes>> + Send + 'static,
{
    let PageText { length, parts } = text;
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
