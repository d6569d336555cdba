//! A conversation as a zip archive.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, header};
use ports::EventLog;
use serde::Deserialize;
use types::conversation::ConversationRecord;
use types::known_values::KnownValues;
use types::log::LogRecord;
use types::secrets::{MASK, SecretSource, map_secrets};
use types::{LogId, Seq};

use super::cage;
use super::download::attachment;
use super::zip::Zip;
use crate::auth::Caller;
use crate::error::{ApiError, ApiResult};
use crate::extract::ConversationPath;
use crate::reading::Reading;
use crate::scope::Target;

/// Records read at once.
const STEP: usize = 64;

/// A conversation's record and events as a zip archive, without secrets.
#[utoipa::path(get, path = "/download-trajectory/{conversation_id}", tag = "Files",
    params(("conversation_id" = uuid::Uuid, Path)),
    responses((status = 200, description = "The archive", content_type = "application/zip"),
        (status = 404, description = "There is no such conversation")))]
pub(super) async fn download_trajectory(
    State(reading): State<Reading>,
    caller: Caller,
    target: Target,
    ConversationPath(id): ConversationPath,
) -> ApiResult<Response> {
    if target.scope.workspace.is_some_and(|workspace| workspace.conversation != id) {
        return Err(ApiError::unprocessable("The trajectory is another conversation's"));
    }
    reading.get(&caller, id)?;
    let record = reading.index.read(id).await?.ok_or_else(ApiError::not_found)?;
    let log = LogId::conversation(&record.sandbox, id);
    let meta = serde_json::to_vec_pretty(&without_secrets(record))?;
    let disposition = attachment(&format!("{}.zip", id.hex()));
    let body = Body::from_stream(Trajectory::new(reading.log, log, meta).stream());
    let kind = HeaderValue::from_static("application/zip");
    let mut headers =
        HeaderMap::from_iter([(header::CONTENT_TYPE, kind), (header::CONTENT_DISPOSITION, disposition)]);
    cage(&mut headers);
    Ok((headers, body).into_response())
}

fn without_secrets(mut record: ConversationRecord) -> ConversationRecord {
    map_secrets(&mut record.agent, &mut |_| MASK.into());
    for source in record.secrets.values_mut() {
        match source {
            SecretSource::StaticSecret { value, .. } => *value = value.take().map(|_| MASK.to_owned()),
            SecretSource::LookupSecret { headers, .. } => {
                headers.values_mut().for_each(|header| MASK.clone_into(header));
            }
        }
    }
    record.past_secrets = KnownValues::default();
    record
}

/// The archive under way.
struct Trajectory {
    events: Arc<dyn EventLog>,
    log: LogId,
    /// Until it has been sent.
    meta: Option<Vec<u8>>,
    at: Seq,
    zip: Zip,
}

impl Trajectory {
    fn new(events: Arc<dyn EventLog>, log: LogId, meta: Vec<u8>) -> Self {
        Self { events, log, meta: Some(meta), at: Seq::ZERO, zip: Zip::default() }
    }

    fn stream(self) -> impl futures_util::Stream<Item = ApiResult<Bytes>> + Send {
        stream::try_unfold(Some(self), |state| async move {
            let Some(mut state) = state else { return Ok(None) };
            if let Some(meta) = state.meta.take() {
                let bytes = state.pack("meta.json", &meta)?;
                return Ok(Some((bytes.into(), Some(state))));
            }
            match state.events().await? {
                Some(bytes) => Ok(Some((bytes, Some(state)))),
                None => Ok(Some((state.zip.end().into(), None))),
            }
        })
    }

    /// The next events as files; `None` after the last one.
    async fn events(&mut self) -> ApiResult<Option<Bytes>> {
        let records = self.events.read(&self.log, self.at, STEP).await?;
        let Some(last) = records.last() else { return Ok(None) };
        self.at = last.seq;
        let mut bytes = Vec::new();
        for record in &records {
            let LogRecord::Event { n, event } = LogRecord::decode(&record.payload)? else { continue };
            let Named { id } = serde_json::from_str(event.get())?;
            bytes.extend(
                self.pack(&format!("events/event-{n:05}-{}.json", plain(&id)), event.get().as_bytes())?,
            );
        }
        Ok(Some(bytes.into()))
    }

    fn pack(&mut self, name: &str, content: &[u8]) -> ApiResult<Vec<u8>> {
        self.zip.file(name, content).ok_or_else(|| ApiError::internal("a file is too large for the archive"))
    }
}

#[derive(Deserialize)]
struct Named {
    id: String,
}

/// What is safe as part of a file's name.
fn plain(id: &str) -> String {
    let safe = |c: &char| c.is_ascii_alphanumeric() || *c == '-' || *c == '_';
    id.chars().filter(safe).take(64).collect()
}
