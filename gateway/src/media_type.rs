//! What a request says its body is.

use http::{HeaderMap, header};

/// The kind, and its parameters. `None` where no text says it.
pub fn media_type(headers: &HeaderMap) -> Option<(&str, &str)> {
    let given = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let (kind, parameters) = given.split_once(';').unwrap_or((given, ""));
    Some((kind.trim(), parameters))
}

/// Whether it has parts, of which one may be a file.
pub fn is_multipart(headers: &HeaderMap) -> bool {
    let kind = media_type(headers).and_then(|(kind, _)| kind.split_once('/'));
    kind.is_some_and(|(kind, _)| kind.eq_ignore_ascii_case("multipart"))
}
