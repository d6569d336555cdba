//! Chat completions.

use manyhands_strict::{Dialect, check};
use serde_json::{Value, json};

use super::{PNG, changed, gone, refused};

fn call(id: &str) -> Value {
    json!({"id": id, "type": "function", "function": {"name": "terminal", "arguments": "{\"command\": \"ls\"}"}})
}

fn body() -> Value {
    json!({
        "model": "gpt-5",
        "tools": [{"type": "function", "function": {"name": "terminal", "parameters": {"type": "object"}}}],
        "messages": [
            {"role": "system", "content": "You are an agent."},
            {"role": "user", "content": [
                {"type": "text", "text": "Look"},
                {"type": "image_url", "image_url": {"url": format!("data:image/png;base64,{PNG}")}},
            ]},
            {"role": "assistant", "tool_calls": [call("call_1"), call("call_2")]},
            {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "a"}]},
            {"role": "tool", "tool_call_id": "call_2", "content": ""},
            {"role": "assistant", "content": "done"},
            {"role": "user", "content": "more"},
        ],
    })
}

#[test]
fn each_fault_of_a_request_is_refused() {
    let long = "x".repeat(41);
    refused(
        Dialect::Chat,
        &body(),
        &[
            ("/messages/1/role", json!("assistant"), "after \"system\""),
            ("/messages/6/role", json!("assistant"), "after \"assistant\""),
            ("/messages/6/role", json!("system"), "role \"system\""),
            ("/messages/6/role", json!("function"), "role \"function\""),
            ("/messages/6", gone(), "the last is of the role \"assistant\""),
            ("/messages/6/content", json!(" \n"), "non-whitespace"),
            ("/messages/6/content", json!([]), "empty list of parts"),
            ("/messages/6/content", json!({}), "neither text nor a list"),
            ("/messages/1/content/0/text", json!(""), "non-whitespace"),
            ("/messages/1/content/0/type", json!("input_text"), "of the kind"),
            (
                "/messages/1/content/1/image_url/url",
                json!(format!("data:image/jpeg;base64,{PNG}")),
                "said to be",
            ),
            ("/messages/1/content/1/image_url/url", json!("data:image/png;base64,é"), "no base64"),
            ("/messages/1/content/1/image_url/url", json!("data:image/png,x"), "without base64"),
            ("/messages/1/content/1/image_url/url", json!("file:///a"), "neither an address nor data"),
            (
                "/messages/3/content",
                json!([{"type": "image_url", "image_url": {"url": "https://a"}}]),
                "image of the role",
            ),
            ("/messages/5/content", gone(), "neither content nor calls"),
            ("/messages/5/content", json!(""), "non-whitespace"),
            ("/messages/2/tool_calls", json!([]), "empty list of calls"),
            ("/messages/1/tool_calls", json!([call("call_3")]), "calls of the role"),
            ("/messages/2/tool_calls/1/id", json!("call_1"), "used twice"),
            ("/messages/2/tool_calls/0/id", json!(long), "not of the form"),
            ("/messages/2/tool_calls/0/id", json!("a:b"), "not of the form"),
            ("/messages/2/tool_calls/0/function/name", json!("a b"), "no name of a tool"),
            ("/messages/2/tool_calls/0/function/arguments", json!("{"), "no JSON object"),
            ("/messages/2/tool_calls/0/function/arguments", json!("[]"), "no JSON object"),
            ("/messages/3", gone(), "where that of \"call_1\" is due"),
            ("/messages/4", gone(), "no result before it of the calls"),
            ("/messages/3/tool_call_id", json!("call_9"), "where that of"),
            (
                "/messages/5",
                json!({"role": "tool", "tool_call_id": "call_1", "content": "a"}),
                "no call before it",
            ),
            (
                "/tools/-",
                json!({"function": {"name": "terminal", "parameters": {"type": "object"}}}),
                "there twice",
            ),
            ("/tools/0/function/parameters", json!({}), "no object"),
        ],
    );
}

#[test]
fn what_mistral_refuses_is_refused_for_its_models_alone() {
    let results_then_user = changed(&body(), "/messages/5", &gone());
    assert_eq!(check(Dialect::Chat, &results_then_user), Ok(()));
    let short = results_then_user.to_string().replace("call_1", "aaaaaaaa1").replace("call_2", "aaaaaaaa2");
    let short: Value = serde_json::from_str(&short).unwrap();
    let of_mistral = |body: &Value| check(Dialect::Chat, &changed(body, "/model", &json!("mistral-large")));
    assert!(of_mistral(&results_then_user).is_err_and(|said| said.contains("not of the form")));
    assert!(of_mistral(&short).is_err_and(|said| said.contains("right after a result")));
}
