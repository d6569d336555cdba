//! Failures in the form of the other API, with ours beside it.

use axum::body::to_bytes;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};

/// Bytes of an answer of ours that says what has failed.
const MOST: usize = 64 << 10;

/// When a run slot may be free.
const AGAIN: HeaderValue = HeaderValue::from_static("2");

/// Adds the other form to what has failed.
pub(super) async fn in_its_form(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let ours = to_bytes(body, MOST).await.unwrap_or_default();
    let mut told = match serde_json::from_slice(&ours) {
        Ok(Value::Object(told)) => told,
        _ => serde_json::Map::new(),
    };
    let error = described(status, told.get("detail").unwrap_or(&Value::Null));
    told.insert("error".to_owned(), error);
    parts.headers.remove(header::CONTENT_LENGTH);
    if status == StatusCode::TOO_MANY_REQUESTS {
        parts.headers.entry(header::RETRY_AFTER).or_insert(AGAIN);
    }
    let described = axum::Json(told).into_response();
    Response::from_parts(parts, described.into_body())
}

/// The object `error`.
pub(super) fn described(status: StatusCode, detail: &Value) -> Value {
    let kind = match status {
        StatusCode::UNAUTHORIZED => "authentication_error",
        StatusCode::FORBIDDEN => "permission_error",
        StatusCode::NOT_FOUND => "not_found_error",
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        status if status.is_server_error() => "server_error",
        _ => "invalid_request_error",
    };
    json!({"message": message(status, detail), "type": kind, "param": null, "code": detail.get("code")})
}

fn message(status: StatusCode, detail: &Value) -> String {
    match detail {
        Value::String(text) => text.clone(),
        Value::Array(problems) => problems.iter().map(problem).collect::<Vec<_>>().join("; "),
        detail => {
            let text = detail.get("message").and_then(Value::as_str);
            text.or_else(|| status.canonical_reason()).unwrap_or("Error").to_owned()
        }
    }
}

fn problem(problem: &Value) -> String {
    let place = problem.get("loc").and_then(Value::as_array).into_iter().flatten();
    let place = place.map(|step| step.as_str().map_or_else(|| step.to_string(), str::to_owned));
    let says = problem.get("msg").and_then(Value::as_str).unwrap_or_default();
    format!("{}: {says}", place.collect::<Vec<_>>().join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_a_sentence_whatever_ours_is() {
        let said = |status: StatusCode, detail: Value| described(status, &detail);
        assert_eq!(
            said(StatusCode::NOT_FOUND, json!("gone")),
            json!({"message": "gone", "type": "not_found_error", "param": null, "code": null})
        );
        let list = json!([{"loc": ["body", "messages", 0], "type": "missing", "msg": "Field required"}]);
        assert_eq!(
            said(StatusCode::UNPROCESSABLE_ENTITY, list)["message"],
            "body.messages.0: Field required"
        );
        let coded = said(StatusCode::UNPROCESSABLE_ENTITY, json!({"code": "c", "message": "m"}));
        assert_eq!((&coded["code"], &coded["message"]), (&json!("c"), &json!("m")));
        assert_eq!(said(StatusCode::BAD_GATEWAY, Value::Null)["message"], "Bad Gateway");
    }
}
