//! What messages are made of, and which kind one is.

use serde_json::{Value, json};

use crate::Broken;

/// Of the other side's words so many characters are kept.
const MOST_WORDS: usize = 500;

const NOT_FOUND: i64 = -32_601;

pub(crate) enum Message {
    Answer {
        id: Value,
        outcome: Result<Value, Broken>,
    },
    Request {
        id: Value,
        method: String,
    },
    /// What needs no answer, or is none of these.
    Told,
}

impl Message {
    pub fn read(mut message: Value) -> Self {
        let id = message.get("id").filter(|id| !id.is_null()).cloned();
        let method = message.get("method").and_then(Value::as_str).map(str::to_owned);
        match (id, method) {
            (Some(id), Some(method)) => Self::Request { id, method },
            (Some(id), None) => {
                let outcome = match message.get("error").filter(|error| !error.is_null()) {
                    Some(error) => Err(refusal(error)),
                    None => Ok(message.get_mut("result").map(Value::take).unwrap_or_default()),
                };
                Self::Answer { id, outcome }
            }
            (None, _) => Self::Told,
        }
    }
}

fn refusal(error: &Value) -> Broken {
    let words = error.get("message").and_then(Value::as_str).unwrap_or_default();
    let short = |words: &str| words.chars().take(MOST_WORDS).collect();
    Broken::Refused {
        code: error.get("code").and_then(Value::as_i64).unwrap_or_default(),
        message: short(words),
        data: short(&words_of(error.get("data"))),
    }
}

/// Programs put the real cause here, each in its own way.
fn words_of(data: Option<&Value>) -> String {
    match data {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => {
            let told = ["message", "details", "detail", "error"]
                .into_iter()
                .find_map(|name| other.get(name)?.as_str());
            told.map_or_else(|| other.to_string(), str::to_owned)
        }
    }
}

pub(crate) fn request(id: u64, method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

pub(crate) fn notification(method: &str) -> Value {
    json!({"jsonrpc": "2.0", "method": method})
}

/// What the other side is told when it asks: that we are there, and nothing else.
pub(crate) fn answer_to(id: &Value, method: &str) -> Value {
    match method {
        "ping" => json!({"jsonrpc": "2.0", "id": id, "result": {}}),
        _ => json!({"jsonrpc": "2.0", "id": id, "error": {"code": NOT_FOUND, "message": "Method not found"}}),
    }
}
