//! Reads a whole answer, and the parts that plain answers and stream chunks share.

use serde::Deserialize;
use serde_json::Value;

use crate::answer::{Answer, Tokens, response_id, tool_call};
use crate::problem::Problem;

/// A plain answer, or one chunk of a stream.
#[derive(Deserialize)]
pub(super) struct Reply {
    pub id: Option<String>,
    pub choices: Option<Vec<Choice>>,
    pub usage: Option<Value>,
    pub error: Option<Value>,
}

#[derive(Deserialize)]
pub(super) struct Choice {
    pub message: Option<Said>,
    pub delta: Option<Said>,
    pub finish_reason: Option<Value>,
}

/// A message, or a piece of one.
#[derive(Default, Deserialize)]
pub(super) struct Said {
    content: Option<Value>,
    refusal: Option<String>,
    reasoning_content: Option<String>,
    /// The name some servers use for `reasoning_content`.
    reasoning: Option<Value>,
    thinking_blocks: Option<Vec<Value>>,
    pub tool_calls: Option<Vec<SaidCall>>,
}

#[derive(Deserialize)]
pub(super) struct SaidCall {
    pub index: Option<u64>,
    pub id: Option<String>,
    pub function: Option<SaidFunction>,
}

#[derive(Deserialize)]
pub(super) struct SaidFunction {
    pub name: Option<String>,
    arguments: Option<Value>,
}

impl Said {
    pub(super) fn text(&self) -> String {
        let content = self.content.as_ref().map(plain_text).unwrap_or_default();
        if content.is_empty() { self.refusal.clone().unwrap_or_default() } else { content }
    }

    pub(super) fn reasoning(&self) -> &str {
        self.reasoning_content.as_deref().or_else(|| self.reasoning.as_ref()?.as_str()).unwrap_or_default()
    }

    pub(super) fn take_thinking_blocks(&mut self) -> Vec<Value> {
        self.thinking_blocks.take().unwrap_or_default()
    }
}

impl SaidFunction {
    /// The text; some servers send the object itself.
    pub(super) fn arguments(&self) -> String {
        match &self.arguments {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(object) => object.to_string(),
        }
    }
}

/// A string, or the text of a list of blocks.
fn plain_text(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(blocks) => {
            blocks.iter().filter_map(|block| block.get("text").and_then(Value::as_str)).collect()
        }
        _ => String::new(),
    }
}

/// Reads the body of a plain answer.
pub(crate) fn read(body: &[u8]) -> Result<Answer, Problem> {
    let reply: Reply = serde_json::from_slice(body).map_err(|_| Problem::garbled("the answer is no JSON"))?;
    if let Some(error) = reply.error.filter(|error| !error.is_null()) {
        return Err(Problem::in_body(&error));
    }
    let Some(choice) = reply.choices.and_then(|choices| choices.into_iter().next()) else {
        return Err(Problem::no_response());
    };
    let mut said = choice.message.unwrap_or_default();
    let calls = said.tool_calls.take().unwrap_or_default();
    Ok(Answer {
        id: response_id(reply.id),
        text: said.text(),
        reasoning: said.reasoning().to_owned(),
        thinking_blocks: said.take_thinking_blocks(),
        calls: calls
            .iter()
            .filter_map(|call| {
                let function = call.function.as_ref()?;
                let id = call.id.as_deref().unwrap_or_default();
                Some(tool_call(id, function.name.as_deref()?, function.arguments()))
            })
            .collect(),
        tokens: reply.usage.as_ref().map(tokens).unwrap_or_default(),
        refused: is_refusal(choice.finish_reason.as_ref()),
    })
}

pub(super) fn is_refusal(finish_reason: Option<&Value>) -> bool {
    finish_reason.and_then(Value::as_str) == Some("content_filter")
}

pub(crate) fn tokens(usage: &Value) -> Tokens {
    let count = |path: &str| usage.pointer(path).and_then(Value::as_u64);
    let cache_write = ["/cache_creation_input_tokens", "/prompt_tokens_details/cache_creation_tokens"];
    Tokens {
        prompt: count("/prompt_tokens").unwrap_or(0),
        completion: count("/completion_tokens").unwrap_or(0),
        cache_read: count("/prompt_tokens_details/cached_tokens")
            .or_else(|| count("/prompt_cache_hit_tokens"))
            .unwrap_or(0),
        cache_write: cache_write.iter().find_map(|path| count(path)).unwrap_or(0),
        reasoning: count("/completion_tokens_details/reasoning_tokens").unwrap_or(0),
        reported_cost: usage.get("cost").and_then(Value::as_f64),
    }
}
