//! A directory as one file.

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use http::{HeaderMap, HeaderValue, Uri, header};
use serde::Deserialize;
use serde_json::{Map, Value};
use types::SandboxId;
use types::calls::{Archive, FileCall, Scope};
use uuid::Uuid;

use super::cage;
use super::download::{attachment, percent_encoded};
use super::stat;
use super::transfer::Source;
use crate::error::ApiResult;
use crate::extract::{Query, flag, query_values};
use crate::handles::Files;
use crate::scope::Target;

/// Bounds on what a worker says about an archive.
const NAME_CHARS: usize = 255;
const VALUE_CHARS: usize = 1024;
const MOST_HEADERS: usize = 16;

/// Large workspaces take their time to be packed.
const DEADLINE: Duration = Duration::from_secs(15 * 60);

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ArchiveQuery {
    /// The directory; absolute.
    path: String,
    #[serde(default)]
    #[param(required = false, inline)]
    format: ArchiveFormat,
    /// What a patch is made against.
    base_ref: Option<String>,
    #[serde(default = "yes", deserialize_with = "flag")]
    #[param(required = false)]
    use_default_excludes: bool,
}

#[derive(Clone, Copy, Default, Deserialize, utoipa::ToSchema)]
pub(super) enum ArchiveFormat {
    #[default]
    #[serde(rename = "git-delta")]
    GitDelta,
    #[serde(rename = "tar.gz")]
    TarGz,
}

fn yes() -> bool {
    true
}

/// A directory as a patch of what has changed in it, or as a packed file.
#[utoipa::path(get, path = "/archive", tag = "Files",
    params(ArchiveQuery, ("exclude" = Option<Vec<String>>, Query, description = "Further patterns to leave out")),
    responses((status = 200, description = "The archive", content((String = "application/gzip"), (String = "text/x-patch"))),
        (status = 400, description = "Not a repository, or an unknown reference"),
        (status = 404, description = "No such directory")))]
pub(super) async fn archive_directory(
    State(files): State<Files>,
    target: Target,
    uri: Uri,
    Query(query): Query<ArchiveQuery>,
) -> ApiResult<Response> {
    files.activity.touch();
    let (format, media_type) = match query.format {
        ArchiveFormat::GitDelta => ("git-delta", "text/x-patch; charset=utf-8"),
        ArchiveFormat::TarGz => ("tar.gz", "application/gzip"),
    };
    // From now on: a client that goes away while it is made waits for it no more.
    let file = Temporary { files, sandbox: target.sandbox, ticket: Uuid::new_v4().simple().to_string() };
    let ask = FileCall::Archive {
        ticket: file.ticket.clone(),
        scope: target.scope.clone(),
        path: query.path,
        format: format.to_owned(),
        base_ref: query.base_ref,
        exclude: query_values(&uri, "exclude"),
        use_default_excludes: query.use_default_excludes,
    };
    let made: Archive = file.files.workers.call_within(&file.sandbox, &ask, DEADLINE).await?;
    let mut headers = about(&made.headers);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CONTENT_DISPOSITION, attachment(first_chars(&made.name, NAME_CHARS)));
    cage(&mut headers);
    file.send(made.path, headers).await
}

/// What the worker says about the repository. It may say anything, so only headers of this name are taken.
fn about(told: &Map<String, Value>) -> HeaderMap {
    let headers = told.iter().filter(|(name, _)| name.to_ascii_lowercase().starts_with("x-archive-"));
    let headers = headers.filter(|(name, _)| name.len() <= NAME_CHARS).take(MOST_HEADERS);
    headers.filter_map(|(name, value)| Some((name.parse().ok()?, header_text(value)?))).collect()
}

fn header_text(value: &Value) -> Option<HeaderValue> {
    let text = first_chars(value.as_str()?, VALUE_CHARS);
    HeaderValue::try_from(percent_encoded(text).replace("%2F", "/")).ok()
}

fn first_chars(text: &str, most: usize) -> &str {
    text.char_indices().nth(most).map_or(text, |(end, _)| text.get(..end).unwrap_or(text))
}

/// A file that the worker makes to be sent, removed when it has been, or nobody wants it any more.
struct Temporary {
    files: Files,
    sandbox: SandboxId,
    ticket: String,
}

impl Temporary {
    async fn send(self, path: String, mut headers: HeaderMap) -> ApiResult<Response> {
        let target = Target { sandbox: self.sandbox.clone(), scope: Scope::default() };
        let stamp = stat(&self.files.workers, &target, &path).await?.stamp;
        let size = stamp.size;
        headers.insert(header::CONTENT_LENGTH, size.into());
        let source = Source { workers: self.files.workers.clone(), target, path, stamp };
        let body = source.stream(0..size).map(move |piece| {
            // The file lives as long as the stream that reads it.
            let _ = &self;
            piece
        });
        Ok((headers, Body::from_stream(body)).into_response())
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let (workers, sandbox) = (self.files.workers.clone(), self.sandbox.clone());
        let ask = FileCall::EndArchive { ticket: std::mem::take(&mut self.ticket) };
        self.files.tasks.spawn(async move {
            if let Err(error) = workers.call::<_, ()>(&sandbox, &ask).await {
                tracing::warn!(%error, "a temporary file was left behind");
            }
        });
    }
}
