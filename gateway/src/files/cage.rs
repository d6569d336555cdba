//! What goes with bytes that a sandbox made: a model or a program wrote them, and they must not act as a page of
//! this server.

use http::{HeaderMap, HeaderValue, header};

/// A page gets an origin of its own.
const SANDBOX: HeaderValue =
    HeaderValue::from_static("sandbox allow-downloads allow-forms allow-popups allow-scripts");

/// To be called last: nothing of what the headers say by then loosens it.
pub(crate) fn cage(headers: &mut HeaderMap) {
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CONTENT_SECURITY_POLICY, SANDBOX);
}
