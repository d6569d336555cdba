//! Reads a whole answer, and turns blocks into an answer for streams too.

use serde::Deserialize;
use serde_json::Value;

use crate::answer::{Answer, Tokens, response_id, tool_call};
use crate::problem::Problem;

#[derive(Deserialize)]
struct Reply {
    id: Option<String>,
    content: Option<Vec<Value>>,
    stop_reason: Option<String>,
    usage: Option<Usage>,
    error: Option<Value>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(super) struct Usage {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
}

impl Usage {
    /// Takes what a later report says; counts are totals, not additions.
    pub(super) fn update(&mut self, later: Self) {
        self.input_tokens = later.input_tokens.or(self.input_tokens);
        self.output_tokens = later.output_tokens.or(self.output_tokens);
        self.cache_creation_input_tokens =
            later.cache_creation_input_tokens.or(self.cache_creation_input_tokens);
        self.cache_read_input_tokens = later.cache_read_input_tokens.or(self.cache_read_input_tokens);
    }

    fn tokens(self) -> Tokens {
        let cache_write = self.cache_creation_input_tokens.unwrap_or(0);
        let cache_read = self.cache_read_input_tokens.unwrap_or(0);
        Tokens {
            prompt: self.input_tokens.unwrap_or(0).saturating_add(cache_write).saturating_add(cache_read),
            completion: self.output_tokens.unwrap_or(0),
            cache_read,
            cache_write,
            ..Tokens::default()
        }
    }
}

pub(crate) fn tokens(usage: &Value) -> Tokens {
    Usage::deserialize(usage).unwrap_or_default().tokens()
}

/// Reads the body of a plain answer.
pub(crate) fn read(body: &[u8]) -> Result<Answer, Problem> {
    let reply: Reply = serde_json::from_slice(body).map_err(|_| Problem::garbled("the answer is no JSON"))?;
    if let Some(error) = reply.error.filter(|error| !error.is_null()) {
        return Err(Problem::in_body(&error));
    }
    let Some(blocks) = reply.content else { return Err(Problem::no_response()) };
    let stop = reply.stop_reason.as_deref();
    Ok(answer(reply.id, blocks, stop, reply.usage.unwrap_or_default()))
}

pub(super) fn answer(id: Option<String>, blocks: Vec<Value>, stop: Option<&str>, usage: Usage) -> Answer {
    let refused = stop == Some("refusal");
    let mut answer = Answer { id: response_id(id), tokens: usage.tokens(), refused, ..Answer::default() };
    for block in blocks {
        let text = |key: &str| block.get(key).and_then(Value::as_str).unwrap_or_default();
        match text("type") {
            "text" => answer.text.push_str(text("text")),
            "thinking" => {
                answer.reasoning.push_str(text("thinking"));
                answer.thinking_blocks.push(block);
            }
            "redacted_thinking" => answer.thinking_blocks.push(block),
            "tool_use" => {
                let arguments = match block.get("input") {
                    None | Some(Value::Null) => "{}".to_owned(),
                    Some(Value::String(text)) => text.clone(),
                    Some(input) => input.to_string(),
                };
                answer.calls.push(tool_call(text("id"), text("name"), arguments));
            }
            _ => {}
        }
    }
    answer
}
