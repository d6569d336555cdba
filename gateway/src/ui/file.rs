//! One file of the folder: found, and sent a piece at a time.

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderName, StatusCode, header};

use crate::etag;

/// Bytes that are read at once; a client that is slow keeps so many in memory.
const PIECE: usize = 64 << 10;

/// The only hidden names that are meant for others.
const WELL_KNOWN: &str = ".well-known";

pub struct Found {
    pub path: PathBuf,
    pub file: File,
    pub size: u64,
    /// Changes whenever the file does.
    pub tag: String,
}

/// What all answers of the interface carry.
pub const COMMON: [(HeaderName, &str); 5] = [
    (header::CACHE_CONTROL, "no-cache"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "SAMEORIGIN"),
    (header::REFERRER_POLICY, "same-origin"),
    (header::VARY, "accept"),
];

/// The file that a path names. It lies in the folder, also where links lead to it, and nothing on the way is hidden.
pub async fn find(folder: &Path, path: &str) -> io::Result<Option<Found>> {
    let Ok(path) = String::from_utf8(types::percent_decoded(path.as_bytes())) else { return Ok(None) };
    let folder = folder.to_owned();
    off_the_runtime(move || open(&folder, &path)).await
}

fn open(folder: &Path, path: &str) -> io::Result<Option<Found>> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let leads_off = |part: &&str| part.contains(['\\', '\0']) || is_hidden(OsStr::new(part));
    if parts.is_empty() || parts.iter().any(leads_off) {
        return Ok(None);
    }
    let folder = folder.canonicalize()?;
    let path = match folder.join(parts.join("/")).canonicalize() {
        Ok(path) => path,
        Err(error) if is_absent(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let is_shown = path.strip_prefix(&folder).is_ok_and(|below| !below.iter().any(is_hidden));
    if !is_shown || !path.metadata()?.is_file() {
        return Ok(None);
    }
    let file = File::open(&path)?;
    let metadata = file.metadata()?;
    Ok(Some(Found { path, file, size: metadata.len(), tag: tag(&metadata) }))
}

/// `.` and `..` as well.
fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".") && name != WELL_KNOWN
}

fn tag(metadata: &Metadata) -> String {
    let (seconds, nanos) = (metadata.mtime(), metadata.mtime_nsec());
    format!("{:x}-{:x}-{seconds:x}-{nanos:x}", metadata.ino(), metadata.len())
}

impl Found {
    pub fn shown(self, headers: &HeaderMap) -> Response {
        let tag = format!("\"{}\"", self.tag);
        let own = [(header::CONTENT_TYPE, content_type(&self.path)), (header::ETAG, tag.clone())];
        if etag::is_known(headers, &tag) == Some(true) {
            return (StatusCode::NOT_MODIFIED, COMMON, own).into_response();
        }
        let length = [(header::CONTENT_LENGTH, self.size.to_string())];
        (COMMON, own, length, pieces(self.file.take(self.size))).into_response()
    }
}

fn pieces(file: io::Take<File>) -> Body {
    let next = |mut file: io::Take<File>| {
        off_the_runtime(move || {
            let mut piece = vec![0; PIECE];
            let read = file.read(&mut piece)?;
            piece.truncate(read);
            Ok((read > 0).then(|| (Bytes::from(piece), file)))
        })
    };
    Body::from_stream(stream::try_unfold(file, next))
}

/// Files may be slow, and a slow one keeps nobody else waiting.
pub async fn off_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// Browsers guess how a text is encoded that does not say it.
pub fn content_type(path: &Path) -> String {
    let kind = mime_guess::from_path(path).first_or_octet_stream();
    let is_text = kind.type_() == mime_guess::mime::TEXT || kind.subtype() == mime_guess::mime::JAVASCRIPT;
    if is_text { format!("{}; charset=utf-8", kind.essence_str()) } else { kind.to_string() }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidFilename
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_say_how_they_are_encoded() {
        for (name, kind) in [
            ("a.html", "text/html; charset=utf-8"),
            ("a.js", "text/javascript; charset=utf-8"),
            ("a.css", "text/css; charset=utf-8"),
            ("a.png", "image/png"),
            ("a.unknown-kind", "application/octet-stream"),
        ] {
            assert_eq!(content_type(Path::new(name)), kind);
        }
    }
}
