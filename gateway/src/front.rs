//! How clients reach the server: directly, or by a proxy that says so.

use std::sync::Arc;

use http::HeaderMap;
use http::header::HOST;

use crate::cors;

/// Cheap to clone.
#[derive(Clone)]
pub struct Front {
    /// A path all routes are also found below, as `/prefix`; empty for none.
    pub root_path: Arc<str>,
    /// Whether `X-Forwarded-Proto` and `X-Forwarded-Host` are believed.
    pub trust_forwarded_headers: bool,
    /// Where a proxy shows the server: its origin and the path.
    pub web_url: Option<Arc<str>>,
}

impl Front {
    /// Scheme, host and root path, as the client sees them.
    #[must_use]
    pub fn base_url(&self, headers: &HeaderMap) -> String {
        let scheme = self.forwarded(headers, "x-forwarded-proto").unwrap_or("http");
        let host = self.host(headers).unwrap_or("localhost");
        format!("{scheme}://{host}{}", self.root_path)
    }

    /// Under which addresses a client may know this server: the one that it has called, with the root path and without, and the
    /// one that the operator names.
    #[must_use]
    pub fn own_urls(&self, headers: &HeaderMap) -> Vec<String> {
        let called = self.base_url(headers);
        let bare = called.strip_suffix(&*self.root_path).unwrap_or(&called).to_owned();
        [called, bare].into_iter().chain(self.web_url.as_deref().map(str::to_owned)).collect()
    }

    /// Whether the browser takes the connection for a secure one: https in front of us, or loopback.
    #[must_use]
    pub fn is_secure(&self, headers: &HeaderMap) -> bool {
        let host = self.host(headers).map(cors::without_port);
        self.is_encrypted(headers) || matches!(host, Some("localhost" | "127.0.0.1" | "[::1]"))
    }

    /// Whether a proxy that is believed says that it was asked over https.
    #[must_use]
    pub fn is_encrypted(&self, headers: &HeaderMap) -> bool {
        let proto = self.forwarded(headers, "x-forwarded-proto");
        proto.is_some_and(|proto| proto.eq_ignore_ascii_case("https"))
    }

    /// A path without the root path, if it has it.
    #[must_use]
    pub fn below_root<'a>(&self, path: &'a str) -> &'a str {
        path.strip_prefix(&*self.root_path).filter(|rest| rest.starts_with('/')).unwrap_or(path)
    }

    fn host<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        self.forwarded(headers, "x-forwarded-host").or_else(|| text(headers, HOST.as_str()))
    }

    fn forwarded<'a>(&self, headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
        text(headers, name).filter(|_| self.trust_forwarded_headers)
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
