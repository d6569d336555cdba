//! Responses.

use manyhands_strict::Dialect;
use serde_json::{Value, json};

use super::{PNG, gone, refused};

fn call(id: &str) -> Value {
    json!({"type": "function_call", "call_id": id, "name": "terminal", "arguments": "{}"})
}

fn body() -> Value {
    json!({
        "model": "gpt-5",
        "store": false,
        "tools": [{"type": "function", "name": "terminal", "parameters": {"type": "object"}}],
        "input": [
            {"type": "message", "role": "user", "content": [
                {"type": "input_text", "text": "Look"},
                {"type": "input_image", "image_url": format!("data:image/png;base64,{PNG}")},
            ]},
            {"type": "reasoning", "id": "rs_1", "encrypted_content": "sealed"},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I do"}]},
            call("call_1"),
            call("call_2"),
            {"type": "function_call_output", "call_id": "call_1", "output": "a"},
            {"type": "function_call_output", "call_id": "call_2", "output": ""},
        ],
    })
}

#[test]
fn each_fault_of_a_request_is_refused() {
    refused(
        Dialect::Responses,
        &body(),
        &[
            ("/input", json!([]), "empty"),
            ("/input/0/role", json!("tool"), "role \"tool\""),
            ("/input/0/content", json!([]), "no content"),
            ("/input/0/content/0/text", json!(" "), "non-whitespace"),
            ("/input/0/content/0/type", json!("output_text"), "in a message of \"user\""),
            ("/input/2/content/0/type", json!("input_text"), "in a message of \"assistant\""),
            ("/input/0/content/1/image_url", json!(format!("data:image/gif;base64,{PNG}")), "said to be"),
            ("/input/1/encrypted_content", gone(), "without its encrypted content"),
            ("/input/2/role", json!("developer"), "without the item that follows it"),
            ("/input/3/arguments", json!("null"), "no JSON object"),
            ("/input/4/call_id", json!("call_1"), "used twice"),
            ("/input/5", gone(), "where that of \"call_1\" is due"),
            ("/input/6", gone(), "no result before it"),
            ("/input/6/type", json!("item_reference"), "of the kind"),
            ("/input/-", call("call_3"), "no result before it"),
            (
                "/input/-",
                json!({"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "x"}]}),
                "the model's own",
            ),
            ("/input/5", call("call_3"), "where that of"),
            ("/tools/0/name", json!(""), "no name of a tool"),
        ],
    );
}
