//! A file as an answer, with what caches and players ask for.

use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use control::placement::Workers;
use futures_util::StreamExt;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use types::calls::{FileStamp, FileStat};

use super::cage;
use super::range::{Selection, wanted};
use super::transfer::{PIECE, Source};
use crate::error::ApiResult;
use crate::etag;
use crate::scope::Target;

/// A file as an answer: whole or a range of it, or 304 where the client has it already. What has more than a
/// piece is streamed.
pub(crate) async fn serve(
    workers: &Workers,
    target: Target,
    path: String,
    stat: FileStat,
    asked: &HeaderMap,
    content_type: HeaderValue,
) -> ApiResult<Response> {
    let FileStat { stamp, sized, .. } = stat;
    let mut headers = HeaderMap::new();
    cage(&mut headers);
    let source = Source { workers: workers.clone(), target, path, stamp };
    if !sized {
        headers.insert(header::CONTENT_TYPE, content_type);
        return Ok((headers, Body::from_stream(source.stream_to_end())).into_response());
    }
    let version = Version::of(&source.stamp)?;
    version.mark(&mut headers);
    if version.is_known(asked) {
        return Ok((StatusCode::NOT_MODIFIED, headers).into_response());
    }
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    let size = source.stamp.size;
    let wanted = if version.is_meant_by_range(asked) { wanted(asked, size)? } else { Selection::Whole };
    let (status, range) = match wanted {
        Selection::Whole => (StatusCode::OK, 0..size),
        Selection::Part(range) => {
            let content = format!("bytes {}-{}/{size}", range.start, range.end - 1);
            headers.insert(header::CONTENT_RANGE, content.try_into().map_err(crate::ApiError::internal)?);
            (StatusCode::PARTIAL_CONTENT, range)
        }
        Selection::Nothing => {
            let content = format!("bytes */{size}");
            headers.insert(header::CONTENT_RANGE, content.try_into().map_err(crate::ApiError::internal)?);
            return Ok((StatusCode::RANGE_NOT_SATISFIABLE, headers).into_response());
        }
    };
    headers.insert(header::CONTENT_TYPE, content_type);
    let length = range.end - range.start;
    headers.insert(header::CONTENT_LENGTH, length.into());
    let body = match length {
        0 => Body::empty(),
        1..=PIECE => Body::from(source.read_exactly(range.start, length).await?),
        _ => Body::from_stream(source.stream(range).boxed()),
    };
    Ok((status, headers, body).into_response())
}

/// What identifies a state of a file to clients.
struct Version {
    etag: HeaderValue,
    modified: SystemTime,
}

impl Version {
    fn of(stamp: &FileStamp) -> ApiResult<Self> {
        let etag = format!("\"{:x}-{:x}-{:x}\"", stamp.mtime, stamp.size, stamp.inode);
        let seconds = u64::try_from(stamp.mtime / 1_000_000_000).unwrap_or(0);
        let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        Ok(Self { etag: etag.try_into().map_err(crate::ApiError::internal)?, modified })
    }

    fn mark(&self, headers: &mut HeaderMap) {
        headers.insert(header::ETAG, self.etag.clone());
        if let Ok(date) = HeaderValue::from_str(&httpdate::fmt_http_date(self.modified)) {
            headers.insert(header::LAST_MODIFIED, date);
        }
    }

    /// Whether the client says that it has this state.
    fn is_known(&self, asked: &HeaderMap) -> bool {
        etag::is_known(asked, self.etag.to_str().unwrap_or_default()).unwrap_or_else(|| {
            let since = asked.get(header::IF_MODIFIED_SINCE).and_then(date);
            since.is_some_and(|since| self.modified <= since)
        })
    }

    /// Whether `If-Range` allows to send a part.
    fn is_meant_by_range(&self, asked: &HeaderMap) -> bool {
        let Some(condition) = asked.get(header::IF_RANGE) else { return true };
        condition == self.etag || date(condition) == Some(self.modified)
    }
}

fn date(value: &HeaderValue) -> Option<SystemTime> {
    httpdate::parse_http_date(value.to_str().ok()?).ok()
}
