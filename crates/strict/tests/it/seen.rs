//! Of several requests.

use manyhands_strict::{Dialect, Seen};
use serde_json::json;

#[test]
fn thinking_that_was_never_answered_is_found() {
    let block = json!({"type": "thinking", "thinking": "hm", "signature": "s"});
    let body = |block: &serde_json::Value| json!({"messages": [{"role": "assistant", "content": [block]}]});
    let mut seen = Seen::default();
    assert!(seen.request(Dialect::Anthropic, &body(&block)).is_err());
    seen.answered(&block);
    assert_eq!(seen.request(Dialect::Anthropic, &body(&block)), Ok(()));
    let mut cut = block.clone();
    cut["thinking"] = json!("h");
    assert!(seen.request(Dialect::Anthropic, &body(&cut)).is_err());
}

#[test]
fn what_a_request_begins_with_as_the_one_before_did_counts_as_repeated() {
    let mut seen = Seen::default();
    let body = |messages: serde_json::Value| json!({"messages": messages});
    seen.request(Dialect::Chat, &body(json!(["aa"]))).unwrap();
    assert!(seen.repeated() < f64::EPSILON);
    seen.request(Dialect::Chat, &body(json!(["aa", "bb"]))).unwrap();
    assert!((seen.repeated() - 1.0 / 3.0).abs() < 1e-9);
    // What comes behind the first difference is no prefix.
    seen.request(Dialect::Chat, &body(json!(["cc", "bb"]))).unwrap();
    assert!((seen.repeated() - 1.0 / 5.0).abs() < 1e-9);
}

#[test]
fn where_a_cache_ends_is_no_difference() {
    let mut seen = Seen::default();
    let body = |mark: bool| {
        let mut message = json!({"role": "user", "content": [{"type": "text", "text": "a"}]});
        if mark {
            message["content"][0]["cache_control"] = json!({"type": "ephemeral"});
        }
        json!({"messages": [message]})
    };
    seen.request(Dialect::Chat, &body(true)).unwrap();
    seen.request(Dialect::Chat, &body(false)).unwrap();
    assert!((seen.repeated() - 0.5).abs() < 1e-9);
}
