//! Messages.

use manyhands_strict::{Dialect, check};
use serde_json::{Value, json};

use super::{PNG, changed, gone, refused};

fn call(id: &str) -> Value {
    json!({"type": "tool_use", "id": id, "name": "terminal", "input": {}})
}

fn result(id: &str) -> Value {
    json!({"type": "tool_result", "tool_use_id": id, "content": [{"type": "text", "text": "a"}]})
}

fn image() -> Value {
    json!({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}})
}

fn body() -> Value {
    json!({
        "model": "claude-sonnet-4-5",
        "max_tokens": 4096,
        "thinking": {"type": "enabled", "budget_tokens": 2048},
        "system": [{"type": "text", "text": "You are an agent.", "cache_control": {"type": "ephemeral"}}],
        "tools": [{"name": "terminal", "input_schema": {"type": "object"}}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Look"}, image()]},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "", "signature": "s"},
                {"type": "redacted_thinking", "data": "d"},
                {"type": "text", "text": "I do"},
                call("a"),
                call("b"),
            ]},
            {"role": "user", "content": [result("a"), result("b"), {"type": "text", "text": "more"}]},
        ],
    })
}

#[test]
fn each_fault_of_a_request_is_refused() {
    let mark = json!({"type": "ephemeral"});
    refused(
        Dialect::Anthropic,
        &body(),
        &[
            ("/max_tokens", gone(), "max_tokens"),
            ("/max_tokens", json!(2048), "a budget of 2048"),
            ("/thinking/budget_tokens", json!(1023), "a budget of 1023"),
            ("/temperature", json!(0.2), "with a temperature"),
            ("/top_k", json!(5), "with a temperature"),
            ("/system/0/text", json!(""), "non-whitespace"),
            ("/messages/0", gone(), "not of the role \"user\""),
            ("/messages/2/role", json!("assistant"), "not of the role"),
            (
                "/messages/-",
                json!({"role": "assistant", "content": [{"type": "text", "text": "x"}]}),
                "the assistant's",
            ),
            ("/messages/0/content", json!([]), "non-empty content"),
            ("/messages/0/content/0/text", json!("\n"), "non-whitespace"),
            ("/messages/0/content/1/source/media_type", json!("image/webp"), "said to be"),
            ("/messages/0/content/1/source/type", json!("file"), "a source of the kind"),
            ("/messages/0/content/0/type", json!("document"), "of the kind"),
            ("/messages/1/content/0/signature", json!(""), "without signature"),
            ("/messages/1/content/1/data", gone(), "without data"),
            ("/messages/1/content/3/id", json!("b"), "used twice"),
            ("/messages/1/content/3/id", json!("a.b"), "not of the form"),
            ("/messages/1/content/3/input", json!("{}"), "should be an object"),
            (
                "/messages/1/content",
                json!([{"type": "thinking", "thinking": "", "signature": "s"}]),
                "ends with thinking",
            ),
            ("/messages/1/content", json!([call("a"), call("b")]), "found `tool_use`"),
            ("/messages/2/content/0", gone(), "where that of \"a\" is due"),
            ("/messages/2/content/1", gone(), "no result before it"),
            ("/messages/2/content/1", result("a"), "where that of \"b\" is due"),
            ("/messages/2/content/-", result("b"), "no call before it"),
            ("/messages/2/content/0/content/0/text", json!(""), "non-whitespace"),
            ("/messages/1/content/0/cache_control", mark.clone(), "not on thinking"),
            ("/tools/-", json!({"name": "terminal", "input_schema": {"type": "object"}}), "there twice"),
        ],
    );
}

#[test]
fn at_most_four_blocks_are_marked() {
    let mark = json!({"type": "ephemeral"});
    let places =
        ["/tools/0", "/messages/0/content/0", "/messages/2/content/0", "/messages/2/content/1/content/0"];
    let mut body = body();
    for (number, place) in places.iter().enumerate() {
        body = changed(&body, &format!("{place}/cache_control"), &mark);
        assert_eq!(check(Dialect::Anthropic, &body).is_ok(), number + 2 <= 4);
    }
}

#[test]
fn without_thinking_a_round_may_begin_with_a_call() {
    let body = changed(&body(), "/thinking", &gone());
    assert_eq!(
        check(Dialect::Anthropic, &changed(&body, "/messages/1/content", &json!([call("a"), call("b")]))),
        Ok(())
    );
}
