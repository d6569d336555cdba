//! A call with a key, and what tells it from another with that key.

use axum::body::Body;
use axum::extract::Request;
use http::{Method, header};
use sha2::{Digest, Sha256};

use crate::auth::Caller;
use crate::error::{ApiError, ApiResult};
use crate::extract::read_body;
use crate::media_type::is_multipart;

const HEADER: &str = "idempotency-key";
const LONGEST: usize = 255;

/// A call by its key, and what tells it from another with that key.
pub(super) struct Call {
    /// Where its claim and answer are kept. Tenants and routes do not share keys.
    pub name: String,
    /// Of its body; of one that is streamed, of what is said about it.
    pub fingerprint: String,
    pub is_streamed: bool,
}

/// The key of a call that changes something; `None` where there is none or it makes no difference.
///
/// # Errors
/// 400 unless it is 1 to 255 visible ASCII characters.
pub(super) fn key(request: &Request) -> ApiResult<Option<String>> {
    if !matches!(*request.method(), Method::POST | Method::PUT | Method::PATCH | Method::DELETE) {
        return Ok(None);
    }
    let mut given = request.headers().get_all(HEADER).iter();
    let Some(key) = given.next() else { return Ok(None) };
    let fits = (1..=LONGEST).contains(&key.len()) && key.as_bytes().iter().all(u8::is_ascii_graphic);
    match key.to_str() {
        Ok(key) if fits && given.next().is_none() => Ok(Some(key.to_owned())),
        _ => Err(ApiError::bad_request("An Idempotency-Key is 1 to 255 visible ASCII characters")),
    }
}

impl Call {
    /// Takes a call's body in, unless it is a file's.
    ///
    /// # Errors
    /// Those of a body that is too long or does not arrive.
    pub async fn read(json_bytes: usize, key: &str, request: Request) -> ApiResult<(Self, Request)> {
        let unguarded = || ApiError::internal("a call with a key has no caller");
        let tenant = request.extensions().get::<Caller>().ok_or_else(unguarded)?.tenant.clone();
        let target = request.uri().path_and_query().map_or("", |target| target.as_str());
        let name = digest([tenant.as_str(), request.method().as_str(), target, key].map(str::as_bytes));
        let (parts, body) = request.into_parts();
        let header = |name| parts.headers.get(name).map_or(&[][..], |value| value.as_bytes());
        let is_streamed = is_multipart(&parts.headers);
        if is_streamed {
            let fingerprint = digest([b"streamed", header(header::CONTENT_LENGTH)]);
            return Ok((Self { name, fingerprint, is_streamed }, Request::from_parts(parts, body)));
        }
        let bytes = read_body(body, json_bytes).await?;
        let fingerprint = digest([&bytes[..]]);
        Ok((Self { name, fingerprint, is_streamed }, Request::from_parts(parts, Body::from(bytes))))
    }
}

/// In hex, of parts none of which holds a NUL byte but perhaps the last.
fn digest<const N: usize>(parts: [&[u8]; N]) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update(part);
        digest.update([0]);
    }
    types::hex(&digest.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_of(method: Method, keys: &[&str]) -> ApiResult<Option<String>> {
        let mut request = http::Request::builder().method(method);
        for key in keys {
            request = request.header(HEADER, *key);
        }
        key(&request.body(Body::empty()).unwrap())
    }

    #[tokio::test]
    async fn an_upload_is_not_read_however_its_kind_is_written() {
        for (kind, is_streamed) in [
            ("multipart/form-data; boundary=b", true),
            ("Multipart/Form-Data; boundary=b", true),
            (" multipart/mixed", true),
            ("application/json", false),
            ("multipart", false),
        ] {
            let request = http::Request::post("/api/file/upload").header(header::CONTENT_TYPE, kind);
            let mut request = request.body(Body::from("more than is read")).unwrap();
            request.extensions_mut().insert(Caller::operator());
            let call = Call::read(4, "key", request).await;
            assert_eq!(call.is_ok_and(|(call, _)| call.is_streamed), is_streamed, "{kind}");
        }
    }

    #[test]
    fn only_keys_of_visible_ascii_on_calls_that_change_something_count() {
        assert_eq!(key_of(Method::POST, &["a\"b~!"]).unwrap().as_deref(), Some("a\"b~!"));
        assert_eq!(key_of(Method::POST, &[]).unwrap(), None);
        assert_eq!(key_of(Method::GET, &["a"]).unwrap(), None);
        let (longest, longer) = ("k".repeat(255), "k".repeat(256));
        assert!(key_of(Method::DELETE, &[&longest]).is_ok());
        for keys in [&[""][..], &["a b"], &["\u{e9}"], &[&longer], &["a", "a"]] {
            assert!(key_of(Method::PATCH, keys).is_err(), "{keys:?}");
        }
    }
}
