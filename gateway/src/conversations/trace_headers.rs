//! How a proxy names the trace of a conversation that it creates for somebody. This server makes no such traces,
//! but refuses what the peer refuses.

use http::HeaderMap;
use serde_json::{Map, Value};

use crate::error::{ApiResult, Problem};

const SPAN_NAME: &str = "X-OpenHands-Observability-Span-Name";
const TAGS: &str = "X-OpenHands-Observability-Tags";
const METADATA: &str = "X-OpenHands-Observability-Metadata";
const PARENT: &str = "X-OpenHands-Observability-Parent-Span-Context";

const SPAN_NAME_BYTES: usize = 128;

/// # Errors
/// 422 for a header that cannot be.
pub(crate) fn check(headers: &HeaderMap) -> ApiResult<()> {
    let span_name = "at most 128 letters, digits and . _ : / - are allowed";
    for (name, fits, needed) in [
        (SPAN_NAME, is_span_name as fn(&str) -> bool, span_name),
        (METADATA, is_object, "a JSON object is needed"),
        (TAGS, |_| true, "a text is needed"),
        (PARENT, |_| true, "a text is needed"),
    ] {
        let Some(value) = headers.get(name) else { continue };
        if !value.to_str().is_ok_and(fits) {
            let msg = format!("Value error, {needed}");
            return Err(Problem::new("value_error", &["header", name], msg).into());
        }
    }
    Ok(())
}

fn is_span_name(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._:/-".contains(&b);
    (1..=SPAN_NAME_BYTES).contains(&text.len()) && text.bytes().all(plain)
}

fn is_object(text: &str) -> bool {
    serde_json::from_str::<Map<String, Value>>(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_that_cannot_be_are_refused() {
        let check = |name: &'static str, value: &str| {
            let value = http::HeaderValue::from_bytes(value.as_bytes()).unwrap();
            check(&HeaderMap::from_iter([(name.parse().unwrap(), value)])).is_ok()
        };
        assert!(check(SPAN_NAME, "a.b_c:d/e-1") && check(METADATA, r#"{"a": 1}"#) && check(TAGS, "a, b"));
        for name in ["", "a b", "a,b", &"a".repeat(129)] {
            assert!(!check(SPAN_NAME, name), "{name}");
        }
        assert!(!check(METADATA, "[1]") && !check(METADATA, "{") && !check(PARENT, "é"));
    }
}
