//! The console: what a browser is shown at `/`. One page that needs no build, no other server, and nothing but the API
//! that every client has.

use std::sync::OnceLock;

use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, header};
use sha2::{Digest, Sha256};

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("script.js");

/// Whether a page is what is asked for: browsers name HTML, and clients of the API do not.
pub fn is_wanted(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    accept.is_some_and(|accept| accept.split(',').any(|kind| kind.trim().starts_with("text/html")))
}

pub fn page() -> Response {
    static WHOLE: OnceLock<(String, String)> = OnceLock::new();
    let (page, policy) = WHOLE.get_or_init(|| {
        (PAGE.replace("/*STYLE*/", STYLE).replace("/*SCRIPT*/", SCRIPT), policy(STYLE, SCRIPT))
    });
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, policy.as_str()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
        (header::VARY, "accept"),
    ];
    (headers, page.as_str()).into_response()
}

/// Nothing runs on the page but the script that belongs to it, whatever an agent has written.
fn policy(style: &str, script: &str) -> String {
    let digest = |text: &str| STANDARD.encode(Sha256::digest(text));
    format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
        digest(script),
        digest(style)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_are_shown_the_page_and_clients_are_not() {
        let asks = |accept: &'static str| {
            is_wanted(&HeaderMap::from_iter([(header::ACCEPT, accept.parse().unwrap())]))
        };
        assert!(asks("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"));
        assert!(!asks("*/*") && !asks("application/json") && !is_wanted(&HeaderMap::new()));
    }
}
