//! A finished answer, before cost and time are known.

use serde_json::{Value, json};
use types::content::{Content, Message, Part, Role, ToolCall};
use types::model::Ending;
use types::stats::TokenUsage;
use uuid::Uuid;

use crate::json::without_halves;
use crate::problem::Problem;

/// What a provider reports of one call. `prompt` includes what was read from and written to the cache.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Tokens {
    pub prompt: u64,
    pub completion: u64,
    pub cache_read: u64,
    pub cache_write: u64,
    pub reasoning: u64,
    /// US dollars, where the provider says so in the answer.
    pub reported_cost: Option<f64>,
}

impl Tokens {
    /// As calls are counted, by whatever model.
    pub(crate) fn usage(&self) -> TokenUsage {
        TokenUsage {
            prompt_tokens: self.prompt,
            completion_tokens: self.completion,
            cache_read_tokens: self.cache_read,
            cache_write_tokens: self.cache_write,
            reasoning_tokens: self.reasoning,
            per_turn_token: self.prompt.saturating_add(self.completion),
            ..TokenUsage::default()
        }
    }
}

/// More tokens than any call has.
const MOST_TOKENS: u64 = 1_000_000_000;

/// A count, also as a fraction or as a text. What no call can have is none.
pub(crate) fn count(value: &Value) -> Option<u64> {
    let count = match value {
        Value::String(text) => text.trim().parse().ok()?,
        number => number.as_f64()?,
    };
    (0.0..=MOST_TOKENS as f64).contains(&count).then_some(count as u64)
}

/// The error that an answer tells of beside what it holds, or in its place.
pub(crate) fn error_of(value: &Value) -> Option<&Value> {
    value.get("error").filter(|error| match error {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Bool(true) | Value::Number(_) => true,
    })
}

/// What an answer says that holds nothing, in whatever words.
pub(crate) fn said_instead(reply: &Value) -> Option<Problem> {
    let status = reply.pointer("/base_resp/status_msg");
    let words = ["message", "msg", "detail"].iter().find_map(|key| reply.get(key));
    let message = status.or(words).and_then(Value::as_str).filter(|words| !words.is_empty())?;
    let code = ["/code", "/base_resp/status_code", "/status"].iter().find_map(|path| reply.pointer(path));
    Some(Problem::in_body(&match code {
        Some(code) => json!({"message": message, "code": code}),
        None => json!({"message": message}),
    }))
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub id: String,
    pub text: String,
    pub reasoning: String,
    pub thinking_blocks: Vec<Value>,
    pub calls: Vec<ToolCall>,
    /// Of a dialect that tells their order.
    pub parts: Parts,
    pub tokens: Tokens,
    pub ending: Ending,
}

impl Answer {
    pub(crate) fn is_empty(&self) -> bool {
        self.text.is_empty() && self.calls.is_empty()
    }

    pub(crate) fn into_message(self) -> Message {
        let (content, order) = self.parts.of(self.text);
        let mut message = Message {
            role: Role::Assistant,
            content,
            tool_calls: with_own_ids(self.calls),
            reasoning_content: Some(self.reasoning).filter(|text| !text.is_empty()),
            thinking_blocks: self.thinking_blocks,
            ..Message::default()
        };
        message.set_order(&order);
        message
    }
}

/// The parts of an answer in the order in which they came.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Parts {
    order: Vec<Part>,
    /// Where in the text of all each text ends.
    ends: Vec<usize>,
    thoughts: usize,
    calls: usize,
}

impl Parts {
    /// The text goes on; it is so long now.
    pub(crate) fn text(&mut self, length: usize) {
        if let (Some(Part::Text(_)), Some(end)) = (self.order.last(), self.ends.last_mut()) {
            *end = length;
            return;
        }
        self.order.push(Part::Text(self.ends.len()));
        self.ends.push(length);
    }

    pub(crate) fn thought(&mut self) {
        self.order.push(Part::Thinking(self.thoughts));
        self.thoughts += 1;
    }

    pub(crate) fn call(&mut self) {
        self.order.push(Part::Call(self.calls));
        self.calls += 1;
    }

    /// The texts, and the order of all; blank texts between other parts are none. A text is one where nothing stands between its pieces.
    fn of(self, text: String) -> (Vec<Content>, Vec<Part>) {
        if self.ends.len() < 2 {
            let content = if text.is_empty() { Vec::new() } else { vec![Content::text(text)] };
            let is_kept = |part: &Part| !matches!(part, Part::Text(_)) || !content.is_empty();
            let order = self.order.into_iter().filter(is_kept).collect();
            return (content, order);
        }
        let mut content = Vec::new();
        let mut order = Vec::new();
        for part in self.order {
            let Part::Text(at) = part else {
                order.push(part);
                continue;
            };
            let begin = at.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
            let end = self.ends.get(at).copied().unwrap_or(text.len());
            let said = text.get(begin..end).unwrap_or_default();
            if !said.trim().is_empty() {
                order.push(Part::Text(content.len()));
                content.push(Content::text(said));
            }
        }
        (content, order)
    }
}

pub(crate) fn tool_call(id: &str, name: &str, arguments: String) -> ToolCall {
    let arguments = without_halves(arguments);
    ToolCall { id: id.to_owned(), name: name.to_owned(), arguments, origin: "completion".to_owned() }
}

/// The provider's id of an answer, or a new one.
pub(crate) fn response_id(given: Option<String>) -> String {
    given.filter(|id| !id.is_empty()).unwrap_or_else(|| format!("response-{}", Uuid::new_v4().hyphenated()))
}

/// Makes up the ids a provider left out or gave twice: results are matched by them.
fn with_own_ids(mut calls: Vec<ToolCall>) -> Vec<ToolCall> {
    for place in 0..calls.len() {
        let (before, rest) = calls.split_at_mut(place);
        let Some(call) = rest.first_mut() else { break };
        if call.id.is_empty() || before.iter().any(|other| other.id == call.id) {
            call.id = format!("call_{}", Uuid::new_v4().simple());
        }
    }
    calls
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_has_an_id_of_its_own() {
        let calls = ["a", "", "a", ""].map(|id| tool_call(id, "t", String::new())).to_vec();
        let message = Answer { calls, ..Answer::default() }.into_message();
        let mut ids: Vec<_> = message.tool_calls.iter().map(|call| call.id.clone()).collect();
        assert_eq!(ids[0], "a");
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 4);
        assert!(ids.iter().all(|id| !id.is_empty()));
    }

    #[test]
    fn an_answer_without_text_has_no_content() {
        assert!(Answer::default().into_message().content.is_empty());
    }
}
