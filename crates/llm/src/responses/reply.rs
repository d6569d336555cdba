//! Reads a response object.

use serde::Deserialize;
use serde_json::Value;
use types::content::ToolCall;

use crate::answer::{Answer, Tokens, response_id, tool_call};
use crate::problem::Problem;

#[derive(Deserialize)]
pub(super) struct Reply {
    id: Option<String>,
    pub output: Option<Vec<Value>>,
    usage: Option<Value>,
    error: Option<Value>,
    incomplete_details: Option<Value>,
}

/// Reads the body of a plain answer.
pub(crate) fn read(body: &[u8]) -> Result<Answer, Problem> {
    let reply = serde_json::from_slice(body).map_err(|_| Problem::garbled("the answer is no JSON"))?;
    answer(reply)
}

pub(super) fn answer(reply: Reply) -> Result<Answer, Problem> {
    if let Some(error) = reply.error.filter(|error| !error.is_null()) {
        return Err(Problem::in_body(&error));
    }
    let reason = reply.incomplete_details.as_ref().and_then(|details| details.get("reason")?.as_str());
    let mut answer = Answer {
        id: response_id(reply.id),
        tokens: reply.usage.as_ref().map(tokens).unwrap_or_default(),
        refused: reason == Some("content_filter"),
        ..Answer::default()
    };
    let output = reply.output.unwrap_or_default();
    if output.is_empty() && !answer.refused {
        return Err(Problem::no_response());
    }
    for item in &output {
        let text = |key: &str| item.get(key).and_then(Value::as_str).unwrap_or_default();
        match text("type") {
            "message" => answer.text.push_str(&joined(item, "content")),
            "reasoning" => answer.reasoning.push_str(&joined(item, "summary")),
            "function_call" => {
                let call = tool_call(text("call_id"), text("name"), text("arguments").to_owned());
                answer.calls.push(ToolCall { origin: "responses".to_owned(), ..call });
            }
            _ => {}
        }
    }
    Ok(answer)
}

/// The texts and refusals of a list of parts.
fn joined(item: &Value, list: &str) -> String {
    let parts = item.get(list).and_then(Value::as_array).into_iter().flatten();
    let text = |part: &Value| part.get("text").or_else(|| part.get("refusal"))?.as_str().map(str::to_owned);
    parts.filter_map(text).collect::<Vec<_>>().join("\n")
}

pub(crate) fn tokens(usage: &Value) -> Tokens {
    let count = |path: &str| usage.pointer(path).and_then(Value::as_u64).unwrap_or(0);
    Tokens {
        prompt: count("/input_tokens"),
        completion: count("/output_tokens"),
        cache_read: count("/input_tokens_details/cached_tokens"),
        reasoning: count("/output_tokens_details/reasoning_tokens"),
        ..Tokens::default()
    }
}
