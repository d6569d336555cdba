//! A conversation as a zip archive, laid out as the peer keeps one: whoever reads the one reads the other.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, header};
use ports::EventLog;
use ports::log::Pages;
use readmodel::index::persistence_dir;
use serde_json::value::RawValue;
use types::agent::document::mask;
use types::conversation::ConversationRecord;
use types::event::Head;
use types::known_values::KnownValues;
use types::log::LogRecord;
use types::peer::{self, Files, Written};
use types::time::local_as_utc;
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

/// What a conversation is, and its events, as a zip archive without secrets.
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
    let entry = reading.get(&caller, id).await?;
    let record = reading.index.read(id).await?.ok_or_else(ApiError::not_found)?;
    let record = without_secrets(record);
    let log = LogId::conversation(&record.sandbox, id);
    let projection = entry.with_projection(Clone::clone);
    let touched = projection.touched.as_deref().and_then(local_as_utc);
    let files = peer::write(&Written {
        record: &record,
        projection: &projection,
        // What nobody here has read may hold anything, secrets too.
        brought: None,
        persistence_dir: &persistence_dir(&reading.conversations_path, id),
        updated_at: touched.as_deref().unwrap_or(&record.created_at),
    })?;
    let disposition = attachment(&format!("{}.zip", id.hex()));
    let body = Body::from_stream(Trajectory::new(reading.log, log, id.hex(), files).stream());
    let kind = HeaderValue::from_static("application/zip");
    let mut headers =
        HeaderMap::from_iter([(header::CONTENT_TYPE, kind), (header::CONTENT_DISPOSITION, disposition)]);
    cage(&mut headers);
    Ok((headers, body).into_response())
}

fn without_secrets(mut record: ConversationRecord) -> ConversationRecord {
    mask(&mut record.agent);
    record.titling.llm.iter_mut().for_each(mask);
    record.secrets.values_mut().for_each(|source| *source = source.masked());
    record.past_secrets = KnownValues::default();
    record
}

/// The archive under way.
struct Trajectory {
    events: Arc<dyn EventLog>,
    log: LogId,
    /// That everything is in.
    folder: String,
    /// Until they have been sent.
    files: Option<Files>,
    at: Seq,
    /// Where records are that cannot be read, until they have been named.
    unreadable: Vec<Seq>,
    zip: Zip,
}

impl Trajectory {
    fn new(events: Arc<dyn EventLog>, log: LogId, folder: String, files: Files) -> Self {
        let (at, unreadable, zip) = (Seq::ZERO, Vec::new(), Zip::default());
        Self { events, log, folder, files: Some(files), at, unreadable, zip }
    }

    fn stream(self) -> impl futures_util::Stream<Item = ApiResult<Bytes>> + Send {
        stream::try_unfold(Some(self), |state| async move {
            let Some(mut state) = state else { return Ok(None) };
            if let Some(files) = state.files.take() {
                let mut bytes = state.pack("meta.json", files.meta.as_bytes())?;
                bytes.extend(state.pack("base_state.json", files.state.as_bytes())?);
                return Ok(Some((bytes.into(), Some(state))));
            }
            if let Some(bytes) = state.events().await? {
                return Ok(Some((bytes, Some(state))));
            }
            let mut end = state.unreadable()?;
            end.extend(state.zip.end());
            Ok(Some((end.into(), None)))
        })
    }

    /// The next events as files; `None` after the last one.
    async fn events(&mut self) -> ApiResult<Option<Bytes>> {
        let mut pages = Pages::new(self.events.as_ref(), &self.log, self.at, STEP);
        let Some(records) = pages.next().await? else { return Ok(None) };
        self.at = records.last().map_or(self.at, |last| last.seq);
        let mut bytes = Vec::new();
        for record in &records {
            match name_and_event(&record.payload) {
                Ok(Some((name, event))) => bytes.extend(self.pack(&name, event.get().as_bytes())?),
                Ok(None) => {}
                Err(_) => self.unreadable.push(record.seq),
            }
        }
        Ok(Some(bytes.into()))
    }

    /// The note of what is missing; nothing where nothing is.
    fn unreadable(&mut self) -> ApiResult<Vec<u8>> {
        if self.unreadable.is_empty() {
            return Ok(Vec::new());
        }
        let mut note = "Records of these positions cannot be read and are missing here:\n".to_owned();
        for seq in std::mem::take(&mut self.unreadable) {
            note.push_str(&format!("{}\n", seq.0));
        }
        self.pack("unreadable.txt", note.as_bytes())
    }

    fn pack(&mut self, name: &str, content: &[u8]) -> ApiResult<Vec<u8>> {
        let name = format!("{}/{name}", self.folder);
        self.zip.file(&name, content).ok_or_else(|| ApiError::internal("a file is too large for the archive"))
    }
}

/// Of a record that clients see.
fn name_and_event(record: &[u8]) -> serde_json::Result<Option<(String, &RawValue)>> {
    let LogRecord::Event { n, event } = LogRecord::<&RawValue>::decode_as(record)? else { return Ok(None) };
    let head = Head::of(event.get())?;
    Ok(Some((format!("events/{}", peer::event_file(n, &head.id)), event)))
}
