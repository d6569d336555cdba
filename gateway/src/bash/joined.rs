//! All that a command has printed, as one answer: first the texts of one stream, then those of the other. A little is read
//! once and sent in one piece. It may be more than fits into memory, so much is written from the log while the client
//! takes it.

use std::pin::pin;
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use http::{HeaderValue, StatusCode, header};
use readmodel::bashlog::{EventSummary, Tail, records_of};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::error::{ApiError, ApiResult};
use crate::words;

/// Bytes of records that are answered in one piece.
const AT_ONCE: usize = 128 * 1024;

/// What stands before the texts.
#[derive(Serialize, Deserialize)]
struct Head {
    kind: String,
    id: String,
    timestamp: String,
    command_id: String,
    order: u64,
    exit_code: Option<i32>,
}

/// The texts, still as the JSON they were stored as.
#[derive(Deserialize)]
struct Texts<'a> {
    #[serde(borrow)]
    stdout: Option<&'a RawValue>,
    #[serde(borrow)]
    stderr: Option<&'a RawValue>,
}

type Choice = for<'a> fn(Texts<'a>) -> Option<&'a RawValue>;

/// All outputs of a command as its last one.
///
/// # Errors
/// 410 where somebody has cleared them since: whoever is told so is not to run the command again.
pub(super) async fn answer(tail: &Tail, outputs: Vec<EventSummary>) -> ApiResult<Response> {
    let Some(command) = outputs.last().and_then(|output| output.command) else { return Err(cleared()) };
    let body = match little(tail, &outputs).await {
        Some(records) => at_once(records).await?,
        None => as_read(tail, command).await?,
    };
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// The records, where they are few and the log still has all of them.
async fn little(tail: &Tail, outputs: &[EventSummary]) -> Option<Vec<Bytes>> {
    let size: usize = outputs.iter().map(|output| output.len).sum();
    if size > AT_ONCE {
        return None;
    }
    records_of(tail.event_log(), tail.log.clone(), outputs.to_vec()).try_collect().await.ok()
}

async fn at_once(records: Vec<Bytes>) -> ApiResult<Body> {
    let end = records.last().ok_or_else(cleared)?.clone();
    let again = || stream::iter(records.clone()).map(Ok);
    let parts = joined(end, again(), again())?;
    Ok(Body::from(parts.try_collect::<Vec<Bytes>>().await?.concat()))
}

async fn as_read(tail: &Tail, command: Uuid) -> ApiResult<Body> {
    let (log, id) = (tail.event_log(), tail.log.clone());
    let of = move |outputs: Vec<EventSummary>| records_of(Arc::clone(&log), id.clone(), outputs);
    let outputs = tail.outputs(command).await?;
    let last = outputs.last().copied().ok_or_else(cleared)?;
    let end = match pin!(of(vec![last])).try_next().await {
        Ok(Some(end)) => end,
        Ok(None) | Err(ports::Error::Conflict { .. }) => return Err(cleared()),
        Err(error) => return Err(error.into()),
    };
    Ok(Body::from_stream(joined(end, of(outputs.clone()), of(outputs))?))
}

fn joined(
    end: Bytes,
    for_stdout: impl Stream<Item = ports::Result<Bytes>> + Send + 'static,
    for_stderr: impl Stream<Item = ports::Result<Bytes>> + Send + 'static,
) -> ApiResult<impl Stream<Item = ApiResult<Bytes>> + Send> {
    let mut head = serde_json::to_string(&serde_json::from_slice::<Head>(&end)?)?;
    head.truncate(head.len() - 1);
    let said = |words: String| stream::iter([Ok(Bytes::from(words))]);
    Ok(said(head + ",\"stdout\":")
        .chain(text(for_stdout, |texts| texts.stdout))
        .chain(said(",\"stderr\":".to_owned()))
        .chain(text(for_stderr, |texts| texts.stderr))
        .chain(said("}".to_owned())))
}

fn cleared() -> ApiError {
    ApiError::new(StatusCode::GONE, words::COMMAND_CLEARED)
}

/// The texts of one stream as one JSON text; `null` without any.
fn text(
    records: impl Stream<Item = ports::Result<Bytes>> + Send + 'static,
    choose: Choice,
) -> impl Stream<Item = ApiResult<Bytes>> + Send {
    let pieces = records.map(move |record| inside(&record?, choose)).try_filter_map(async |piece| Ok(piece));
    stream::try_unfold(Some((pieces.boxed(), false)), async |state| {
        let Some((mut pieces, has_begun)) = state else { return Ok(None) };
        Ok(Some(match (pieces.try_next().await?, has_begun) {
            (Some(piece), true) => (piece, Some((pieces, true))),
            (Some(piece), false) => ([b"\"", piece.as_ref()].concat().into(), Some((pieces, true))),
            (None, true) => (Bytes::from_static(b"\""), None),
            (None, false) => (Bytes::from_static(b"null"), None),
        }))
    })
}

/// JSON texts become one by leaving out the quotes between them: no escape reaches over a text's end.
fn inside(record: &Bytes, choose: Choice) -> ApiResult<Option<Bytes>> {
    let text = choose(serde_json::from_slice(record)?);
    let inside = text.and_then(|text| text.get().strip_prefix('"')?.strip_suffix('"'));
    Ok(inside.map(|inside| record.slice_ref(inside.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn joined_text(texts: &[Option<&str>]) -> Option<String> {
        let records: Vec<ports::Result<Bytes>> = texts
            .iter()
            .map(|text| Ok(serde_json::json!({"stdout": text, "stderr": null}).to_string().into()))
            .collect();
        let parts: Vec<Bytes> =
            text(stream::iter(records), |texts| texts.stdout).try_collect().await.unwrap();
        serde_json::from_slice(&parts.concat()).unwrap()
    }

    #[tokio::test]
    async fn texts_are_joined_whatever_they_hold() {
        let texts = ["a\"\\", "\\\"b\n", "", "é\u{1F600}"].map(Some);
        assert_eq!(joined_text(&texts).await.as_deref(), Some("a\"\\\\\"b\né\u{1F600}"));
        assert_eq!(joined_text(&[None, Some("")]).await.as_deref(), Some(""));
        assert_eq!(joined_text(&[None]).await, None);
    }
}
