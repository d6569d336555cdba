//! JSON bodies.

use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::{FromRef, FromRequest, OptionalFromRequest, Request};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::{describe, lax, shape};
use crate::error::{ApiError, Problem};
use crate::media_type::media_type;

/// Until a JSON body has arrived, which is in memory as far as it has; what comes slower than a little is given up long before.
const DEADLINE: Duration = Duration::from_secs(15 * 60);

/// Bytes that a JSON body may have: as the server is configured, or as an extension of the request says.
#[derive(Clone, Copy)]
pub struct JsonLimit(pub usize);

/// A JSON body, in and out. A request's body may be as long as [`JsonLimit`].
pub struct Json<T>(pub T);

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for Json<T>
where
    JsonLimit: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        if !says_json(&parts.headers) {
            return Err(ApiError::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "The body must be application/json",
            ));
        }
        let bytes = read(body, limit(&parts, state)).await?;
        if bytes.is_empty() {
            return Err(Problem::missing(&["body"]).into());
        }
        if shape::is_list(&bytes) && shape::wants_object::<T>() {
            return Err(Problem::object_needed(&["body"]).into());
        }
        parse(&bytes).map(Self)
    }
}

/// `None` where there is no body, whatever its type is said to be.
impl<S: Sync, T: DeserializeOwned> OptionalFromRequest<S> for Json<T>
where
    JsonLimit: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Option<Self>, ApiError> {
        if request.body().is_end_stream() {
            return Ok(None);
        }
        let (parts, body) = request.into_parts();
        let bytes = read(body, limit(&parts, state)).await?;
        if bytes.is_empty() {
            return Ok(None);
        }
        let request = Request::from_parts(parts, bytes.into());
        <Self as FromRequest<S>>::from_request(request, state).await.map(Some)
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

fn limit<S>(parts: &Parts, state: &S) -> usize
where
    JsonLimit: FromRef<S>,
{
    let most = JsonLimit::from_ref(state).0;
    parts.extensions.get::<JsonLimit>().map_or(most, |room| room.0.min(most))
}

/// No content type counts as JSON, as in the peer.
fn says_json(headers: &HeaderMap) -> bool {
    if !headers.contains_key(header::CONTENT_TYPE) {
        return true;
    }
    let kind = media_type(headers).and_then(|(kind, _)| kind.split_once('/'));
    let Some((kind, subtype)) = kind else { return false };
    let subtype = subtype.to_ascii_lowercase();
    kind.eq_ignore_ascii_case("application") && (subtype == "json" || subtype.ends_with("+json"))
}

/// All of a body of up to `limit` bytes.
///
/// # Errors
/// 413 for a longer one, 408 for one that does not arrive, 400 for one that ends early.
pub(crate) async fn read(body: Body, limit: usize) -> Result<Bytes, ApiError> {
    if body.size_hint().lower() > limit as u64 {
        return Err(ApiError::plain(StatusCode::PAYLOAD_TOO_LARGE));
    }
    let whole = tokio::time::timeout(DEADLINE, Limited::new(body, limit).collect()).await;
    let Ok(whole) = whole else { return Err(ApiError::plain(StatusCode::REQUEST_TIMEOUT)) };
    match whole {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(ApiError::plain(StatusCode::PAYLOAD_TOO_LARGE)),
        Err(_) => Err(ApiError::bad_request("The body ended early")),
    }
}

/// Read again leniently if need be: what clients send is strict nearly always, and that is faster.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    if let Ok(value) = serde_json::from_slice(bytes) {
        return Ok(value);
    }
    let value = serde_json::from_slice(bytes).map_err(|error| broken(bytes, &error))?;
    lax::read(value)
        .map_err(|error| describe::problem("body", error.path(), &error.inner().to_string()).into())
}

fn broken(bytes: &[u8], error: &serde_json::Error) -> Problem {
    let text = error.to_string();
    let reason = text.split_once(" at line ").map_or(text.as_str(), |(reason, _)| reason);
    Problem {
        kind: "json_invalid",
        loc: vec!["body".into(), offset(bytes, error.line(), error.column()).into()],
        msg: "JSON decode error".to_owned(),
        input: Some(json!({})),
        ctx: Some(json!({"error": reason})),
    }
}

/// The place of a line and column, both from 1, as an offset from 0.
fn offset(bytes: &[u8], line: usize, column: usize) -> usize {
    let before: usize =
        bytes.split_inclusive(|&b| b == b'\n').take(line.saturating_sub(1)).map(<[u8]>::len).sum();
    (before + column.saturating_sub(1)).min(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    struct Inner {
        #[expect(dead_code, reason = "only its parsing is of interest")]
        number: u64,
    }

    #[derive(Debug, serde::Deserialize)]
    struct Outer {
        #[expect(dead_code, reason = "only its parsing is of interest")]
        items: Vec<Inner>,
    }

    fn problems(text: &str) -> serde_json::Value {
        let Err(ApiError::Invalid(problems)) = parse::<Outer>(text.as_bytes()) else {
            panic!("{text} was read")
        };
        serde_json::to_value(problems).unwrap()
    }

    #[test]
    fn what_is_wrong_is_located() {
        assert_eq!(
            problems(r#"{"items":[{"number":1},{"number":"secret"}]}"#),
            json!([{"type": "int_parsing", "loc": ["body", "items", 1, "number"],
                "msg": "Input should be a valid integer, unable to parse string as an integer"}])
        );
        assert_eq!(
            problems(r#"{"items":[{"number":[]}]}"#),
            json!([{"type": "int_type", "loc": ["body", "items", 0, "number"], "msg": "Input should be a valid integer"}])
        );
        assert_eq!(
            problems(r#"{"items":[{}]}"#),
            json!([{"type": "missing", "loc": ["body", "items", 0, "number"], "msg": "Field required"}])
        );
    }

    #[test]
    fn broken_json_names_the_offset() {
        assert_eq!(problems("{not json")[0]["loc"], json!(["body", 1]));
        assert_eq!(problems("{\"items\":[]} x")[0]["type"], "json_invalid");
    }
}
