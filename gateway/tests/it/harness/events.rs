//! Events as workers write them, and frames as sockets are sent them.

use serde_json::{Value, json};
use types::{EventId, time};

fn event(source: &str, kind: &str, fields: Value) -> Value {
    let mut event = json!({"id": EventId::random(), "timestamp": time::event_now(), "source": source});
    for (name, value) in fields.as_object().unwrap() {
        event[name] = value.clone();
    }
    event["kind"] = kind.into();
    event
}

pub fn update(key: &str, value: Value) -> Value {
    event("environment", "ConversationStateUpdateEvent", json!({"key": key, "value": value}))
}

pub fn user_message(llm_message: Value) -> Value {
    event(
        "user",
        "MessageEvent",
        json!({"llm_message": llm_message, "activated_skills": [], "extended_content": []}),
    )
}

pub fn agent_message(text: &str) -> Value {
    let message = json!({"role": "assistant", "content": [{"type": "text", "cache_prompt": false, "text": text}], "thinking_blocks": []});
    event(
        "agent",
        "MessageEvent",
        json!({"llm_message": message, "activated_skills": [], "extended_content": []}),
    )
}

pub fn finish(message: &str) -> Value {
    event(
        "agent",
        "ActionEvent",
        json!({"thought": [], "thinking_blocks": [], "tool_name": "finish", "tool_call_id": "c",
        "tool_call": {"id": "c", "name": "finish", "arguments": "{}", "origin": "completion"},
        "llm_response_id": "r", "security_risk": "UNKNOWN", "action": {"kind": "FinishAction", "message": message}}),
    )
}

/// Whether a frame is a `full_state` update.
pub fn is_snapshot(frame: &Value) -> bool {
    frame["key"] == "full_state"
}

/// Whether a frame is a `full_state` update that ends the wait for a run.
pub fn is_resting_snapshot(frame: &Value) -> bool {
    is_snapshot(frame) && frame["value"]["execution_status"] != "running"
}
