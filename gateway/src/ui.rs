//! A user interface in a folder (`--static-dir`), shown from the server's own origin: what one program would otherwise do
//! with a second server and a proxy. Whatever is no file and no route of the API is its first page, which finds its way
//! by the path.
//!
//! The first page is not given the session key: programs of agents on this machine can load it as well. It asks for it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method, StatusCode, header};
use sha2::{Digest, Sha256};
use types::percent_decoded;

use crate::auth::Auth;
use crate::error::ApiError;
use crate::{config, etag};

/// What is never a page of it.
const OURS: [&str; 5] = ["/api", "/v1", "/sockets", "/app-backends", "/metrics"];

const FIRST_PAGE: &str = "index.html";

/// Bytes of a file.
const MOST: u64 = 64 * 1024 * 1024;

/// To a server without keys; the interface sends one all the same.
const NO_KEY_IS_NEEDED: &str = "none";

/// Cheap to clone. Nothing where no folder was named.
#[derive(Clone)]
pub struct Ui(Option<Arc<Inner>>);

struct Inner {
    folder: PathBuf,
    is_open: bool,
}

impl Ui {
    pub fn new(config: Option<config::Ui>, auth: &Auth) -> Self {
        let inner = |config: config::Ui| Inner { folder: config.folder, is_open: auth.is_open() };
        Self(config.map(inner).map(Arc::new))
    }

    /// What there is at a path that is no route; `None`: nothing of the interface.
    pub async fn answer(&self, method: &Method, path: &str, headers: &HeaderMap) -> Option<Response> {
        let is_ours = |prefix: &&str| {
            path.strip_prefix(*prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let ui = self.0.as_ref().filter(|_| method == Method::GET && !OURS.iter().any(is_ours))?;
        match ui.file(path).await {
            Ok(Some(file)) => Some(ui.shown(&file, headers).await),
            Ok(None) if is_page(path) => self.first_page(headers).await,
            Ok(None) => None,
            Err(error) => Some(unreadable(&error)),
        }
    }

    pub async fn first_page(&self, headers: &HeaderMap) -> Option<Response> {
        let ui = self.0.as_ref()?;
        Some(ui.shown(&ui.folder.join(FIRST_PAGE), headers).await)
    }
}

impl Inner {
    /// The file that a path names; it lies in the folder, also where links lead to it.
    async fn file(&self, path: &str) -> io::Result<Option<PathBuf>> {
        let Ok(path) = String::from_utf8(percent_decoded(path.as_bytes())) else { return Ok(None) };
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let leads_off = |part: &&str| *part == "." || *part == ".." || part.contains(['\\', '\0']);
        if parts.is_empty() || parts.iter().any(leads_off) {
            return Ok(None);
        }
        let folder = tokio::fs::canonicalize(&self.folder).await?;
        let found = match tokio::fs::canonicalize(folder.join(parts.join("/"))).await {
            Ok(found) => found,
            Err(error) if is_absent(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        let is_file = found.starts_with(&folder) && tokio::fs::metadata(&found).await?.is_file();
        Ok(is_file.then_some(found))
    }

    async fn shown(&self, file: &Path, headers: &HeaderMap) -> Response {
        let text = match read(file).await {
            Ok(text) => text,
            Err(error) => return unreadable(&error),
        };
        let kind = mime_guess::from_path(file).first_or_octet_stream().to_string();
        let is_first = file.file_name().is_some_and(|name| name == FIRST_PAGE);
        let text = if is_first { self.introduced(text) } else { text };
        let tag = format!("\"{}\"", types::hex(&Sha256::digest(&text)));
        let common = [
            (header::CACHE_CONTROL, "no-cache"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::X_FRAME_OPTIONS, "SAMEORIGIN"),
            (header::REFERRER_POLICY, "same-origin"),
            (header::VARY, "accept"),
        ];
        let is_known = etag::is_known(headers, &tag) == Some(true);
        let own = [(header::CONTENT_TYPE, kind), (header::ETAG, tag)];
        if is_known {
            (StatusCode::NOT_MODIFIED, common, own).into_response()
        } else {
            (common, own, text).into_response()
        }
    }

    /// The first page with what it is to know, ahead of its own scripts.
    fn introduced(&self, page: Vec<u8>) -> Vec<u8> {
        let words = match self.is_open {
            true => format!("window.__AGENT_CANVAS_SESSION_API_KEY__=\"{NO_KEY_IS_NEEDED}\""),
            false => "window.__AGENT_CANVAS_AUTH_REQUIRED__=true".to_owned(),
        };
        let Ok(page) = String::from_utf8(page) else { return Vec::new() };
        let script = format!("<script>{words}</script>");
        match page.split_once("<head>") {
            Some((before, after)) => format!("{before}<head>{script}{after}").into_bytes(),
            None => (script + &page).into_bytes(),
        }
    }
}

/// Whether a path that is no file is one that the interface knows itself: its last part has no ending.
fn is_page(path: &str) -> bool {
    !path.rsplit('/').next().unwrap_or_default().contains('.')
}

async fn read(file: &Path) -> io::Result<Vec<u8>> {
    use tokio::io::AsyncReadExt;
    let mut text = Vec::new();
    let opened = tokio::fs::File::open(file).await?;
    opened.take(MOST + 1).read_to_end(&mut text).await?;
    if text.len() as u64 > MOST {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "a file of the user interface is too large"));
    }
    Ok(text)
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidFilename
    )
}

fn unreadable(error: &io::Error) -> Response {
    tracing::error!(%error, "the user interface cannot be read");
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "The user interface cannot be read").into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_told_from_a_file_that_is_not_there() {
        assert!(is_page("/conversations/1") && is_page("/"));
        assert!(!is_page("/assets/a.js") && !is_page("/favicon.ico"));
    }
}
