//! A user interface in a folder (`--static-dir`), shown from the server's own origin: what one program would otherwise do
//! with a second server and a proxy. Whatever is no file and no route of the API is its first page, which finds its way
//! by the path.
//!
//! The first page is not given the session key: programs of agents on this machine can load it as well. It asks for it, or
//! gives a [ticket](crate::ticket) for it.

mod file;
mod first_page;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use axum::response::Response;
use http::{HeaderMap, Method, StatusCode};

use crate::auth::Auth;
use crate::config;
use crate::error::ApiError;
use file::{Found, find};
use first_page::FirstPage;

/// What is never a page of it.
const OURS: [&str; 5] = ["/api", "/v1", "/sockets", "/app-backends", "/metrics"];

const FIRST_PAGE: &str = "index.html";

/// Cheap to clone. Nothing where no folder was named.
#[derive(Clone)]
pub struct Ui(Option<Arc<Inner>>);

struct Inner {
    folder: PathBuf,
    first_page: FirstPage,
}

impl Ui {
    pub fn new(config: Option<config::Ui>, auth: &Auth, root_path: &str) -> Self {
        let first_page = FirstPage::new(auth.is_open(), root_path);
        Self(config.map(|config| Arc::new(Inner { folder: config.folder, first_page })))
    }

    /// What there is at a path that is no route; `None`: nothing of the interface.
    pub async fn answer(&self, method: &Method, path: &str, headers: &HeaderMap) -> Option<Response> {
        let is_ours = |prefix: &&str| {
            path.strip_prefix(*prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let ui = self.0.as_ref().filter(|_| method == Method::GET && !OURS.iter().any(is_ours))?;
        match find(&ui.folder, path).await {
            Ok(Some(found)) if found.path.file_name().is_some_and(|name| name == FIRST_PAGE) => {
                Some(ui.introduced(found, headers).await)
            }
            Ok(Some(found)) => Some(found.shown(headers)),
            Ok(None) if is_page(path) => self.first_page(headers).await,
            Ok(None) => None,
            Err(error) => Some(unreadable(&error)),
        }
    }

    pub async fn first_page(&self, headers: &HeaderMap) -> Option<Response> {
        let ui = self.0.as_ref()?;
        match find(&ui.folder, FIRST_PAGE).await {
            Ok(Some(found)) => Some(ui.introduced(found, headers).await),
            Ok(None) => Some(unreadable(&io::ErrorKind::NotFound.into())),
            Err(error) => Some(unreadable(&error)),
        }
    }
}

impl Inner {
    async fn introduced(&self, found: Found, headers: &HeaderMap) -> Response {
        match self.first_page.shown(found, headers).await {
            Ok(page) => page,
            Err(error) => unreadable(&error),
        }
    }
}

/// Whether a path that is no file is one that the interface knows itself: its last part has no ending, and none is hidden.
fn is_page(path: &str) -> bool {
    let path = types::percent_decoded(path.as_bytes());
    let mut parts = path.split(|byte| *byte == b'/').rev();
    parts.next().is_some_and(|last| !last.contains(&b'.')) && !parts.any(|part| part.starts_with(b"."))
}

fn unreadable(error: &io::Error) -> Response {
    use axum::response::IntoResponse;
    tracing::error!(%error, "the user interface cannot be read");
    ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "The user interface cannot be read").into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_told_from_a_file_that_is_not_there() {
        assert!(is_page("/conversations/1") && is_page("/"));
        for path in ["/assets/a.js", "/favicon.ico", "/.git/config", "/a/.env", "/%2eenv", "/%2Egit/config"] {
            assert!(!is_page(path), "{path}");
        }
    }
}
