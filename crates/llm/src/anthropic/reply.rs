//! Reads a whole answer, and turns blocks into an answer for streams too.

use serde_json::{Map, Value};

use crate::answer::{Answer, Tokens, count, error_of, response_id, said_instead, tool_call};
use crate::ending::{Reason, reason};
use crate::json;
use crate::problem::Problem;

/// What an answer reports of its costs; later reports are totals, not additions.
#[derive(Clone, Debug, Default)]
pub(super) struct Usage(Map<String, Value>);

impl Usage {
    pub(super) fn update(&mut self, later: Option<&Value>) {
        let later = later.and_then(Value::as_object).into_iter().flatten();
        self.0.extend(
            later.filter(|(_, count)| !count.is_null()).map(|(name, count)| (name.clone(), count.clone())),
        );
    }

    fn tokens(&self) -> Tokens {
        let count = |name: &str| self.0.get(name).and_then(count).unwrap_or(0);
        let (cache_write, cache_read) =
            (count("cache_creation_input_tokens"), count("cache_read_input_tokens"));
        Tokens {
            prompt: count("input_tokens").saturating_add(cache_write).saturating_add(cache_read),
            completion: count("output_tokens"),
            cache_read,
            cache_write,
            ..Tokens::default()
        }
    }
}

pub(crate) fn tokens(usage: &Value) -> Tokens {
    let mut counts = Usage::default();
    counts.update(Some(usage));
    counts.tokens()
}

/// Reads the body of a plain answer.
pub(crate) fn read(body: &[u8]) -> Result<Answer, Problem> {
    let reply = json::object(body)?;
    if let Some(error) = error_of(&reply) {
        return Err(Problem::in_body(error));
    }
    let stop = reply.get("stop_reason").and_then(reason);
    let blocks = match reply.get("content") {
        Some(Value::Array(blocks)) => blocks.clone(),
        Some(text @ Value::String(_)) => vec![serde_json::json!({"type": "text", "text": text})],
        _ if stop == Some(Reason::Withheld) => Vec::new(),
        _ => return Err(said_instead(&reply).unwrap_or_else(Problem::no_response)),
    };
    let mut usage = Usage::default();
    usage.update(reply.get("usage"));
    answer(id_of(&reply), blocks, stop, &usage)
}

pub(super) fn id_of(message: &Value) -> Option<String> {
    message.get("id").and_then(Value::as_str).map(str::to_owned)
}

pub(super) fn answer(
    id: Option<String>,
    blocks: Vec<Value>,
    stop: Option<Reason>,
    usage: &Usage,
) -> Result<Answer, Problem> {
    let mut answer = Answer { id: response_id(id), tokens: usage.tokens(), ..Answer::default() };
    let mut last_is_call = false;
    for block in blocks {
        let text = |key: &str| block.get(key).and_then(Value::as_str).unwrap_or_default();
        last_is_call = false;
        match text("type") {
            "text" if !text("text").is_empty() => {
                answer.text.push_str(text("text"));
                answer.parts.text(answer.text.len());
            }
            // What was cut off is not signed, and is not taken back.
            "thinking" if stop == Some(Reason::Cut) && text("signature").is_empty() => {
                answer.reasoning.push_str(text("thinking"));
            }
            "thinking" => {
                answer.reasoning.push_str(text("thinking"));
                answer.parts.thought();
                answer.thinking_blocks.push(block);
            }
            "redacted_thinking" => {
                answer.parts.thought();
                answer.thinking_blocks.push(block);
            }
            "tool_use" => {
                let arguments = match block.get("input") {
                    None | Some(Value::Null) => "{}".to_owned(),
                    Some(Value::String(text)) => text.clone(),
                    Some(input) => input.to_string(),
                };
                answer.parts.call();
                answer.calls.push(tool_call(text("id"), text("name"), arguments));
                last_is_call = true;
            }
            _ => {}
        }
    }
    answer.ending = stop.unwrap_or(Reason::Done).ending(&answer.calls, last_is_call)?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use types::model::Ending;

    use super::*;

    fn ending(stop: &str, content: &Value) -> Ending {
        read(json!({"content": content, "stop_reason": stop}).to_string().as_bytes()).unwrap().ending
    }

    #[test]
    fn the_call_that_a_limit_cut_off_is_not_whole_and_those_before_it_are() {
        let call = |id: &str| json!({"type": "tool_use", "id": id, "name": "run", "input": {}});
        let text = json!({"type": "text", "text": "and th"});
        for stop in ["max_tokens", "model_context_window_exceeded"] {
            assert_eq!(ending(stop, &json!([call("1"), call("2")])), Ending::Cut { whole_calls: 1 });
            assert_eq!(ending(stop, &json!([call("1"), text])), Ending::Cut { whole_calls: 1 });
            assert_eq!(ending(stop, &json!([text])), Ending::Cut { whole_calls: 0 });
        }
        assert_eq!(ending("end_turn", &json!([call("1")])), Ending::Done);
        assert_eq!(ending("refusal", &json!([text])), Ending::Withheld);
        assert_eq!(ending("pause_turn", &json!([text])), Ending::Paused);
    }

    #[test]
    fn odd_types_take_nothing_from_the_rest() {
        let body = json!({"id": 1, "content": "hi", "stop_reason": 7, "usage": {"input_tokens": "x", "output_tokens": 2}});
        let got = read(body.to_string().as_bytes()).unwrap();
        assert_eq!((got.text.as_str(), got.tokens.completion, got.ending), ("hi", 2, Ending::Done));
    }
}
