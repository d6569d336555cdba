//! Reads a response object.

use serde_json::{Value, json};
use types::content::ToolCall;
use types::model::Ending;

use crate::answer::{Answer, Tokens, count, error_of, response_id, said_instead, tool_call};
use crate::ending::{Reason, reason};
use crate::json;
use crate::problem::Problem;

/// Between the texts of one answer.
const BREAK: &str = "\n\n";

/// Reads the body of a plain answer.
pub(crate) fn read(body: &[u8]) -> Result<Answer, Problem> {
    let reply = json::object(body)?;
    answer(&reply, &[])
}

/// `items` stand for the output of a response that has none.
pub(super) fn answer(reply: &Value, items: &[Value]) -> Result<Answer, Problem> {
    if let Some(error) = error_of(reply) {
        return Err(Problem::in_body(error));
    }
    let end = end_of(reply)?;
    let mut answer = Answer {
        id: response_id(reply.get("id").and_then(Value::as_str).map(str::to_owned)),
        tokens: reply.get("usage").map(tokens).unwrap_or_default(),
        ..Answer::default()
    };
    let output = reply.get("output").and_then(Value::as_array).filter(|output| !output.is_empty());
    let output = output.map_or(items, Vec::as_slice);
    if output.is_empty() && end != Reason::Withheld {
        return Err(said_instead(reply).unwrap_or_else(Problem::no_response));
    }
    let mut last_is_call = false;
    for item in output {
        let text = |key: &str| item.get(key).and_then(Value::as_str).unwrap_or_default();
        last_is_call = false;
        match text("type") {
            "message" => answer.text.push_str(&joined(item, "content")),
            "reasoning" => {
                let thought = Some(joined(item, "summary")).filter(|text| !text.is_empty());
                let thought = thought.unwrap_or_else(|| joined(item, "content"));
                if !answer.reasoning.is_empty() && !thought.is_empty() {
                    answer.reasoning.push_str(BREAK);
                }
                answer.reasoning.push_str(&thought);
            }
            "function_call" => {
                answer.calls.push(call_of(item));
                last_is_call = true;
            }
            _ => {}
        }
    }
    answer.ending = end.ending(&answer.calls, last_is_call)?;
    if answer.ending == Ending::Done && output.iter().any(is_cut) {
        answer.ending = Reason::Cut.ending(&answer.calls, last_is_call)?;
    }
    Ok(answer)
}

fn end_of(reply: &Value) -> Result<Reason, Problem> {
    let details = reply.pointer("/incomplete_details/reason").and_then(reason);
    match reply.get("status").and_then(Value::as_str).unwrap_or("completed") {
        "incomplete" => Ok(details.filter(|reason| *reason != Reason::Done).unwrap_or(Reason::Cut)),
        status @ ("queued" | "in_progress" | "cancelled") => {
            Err(Problem::in_body(&json!(format!("the response is not finished ({status})"))))
        }
        "failed" => Err(Problem::in_body(&json!("the response failed"))),
        _ => Ok(details.unwrap_or(Reason::Done)),
    }
}

/// A call that its provider itself calls unfinished.
fn is_cut(item: &Value) -> bool {
    let is = |key: &str, word: &str| item.get(key).is_some_and(|value| value == word);
    is("type", "function_call") && is("status", "incomplete")
}

fn call_of(item: &Value) -> ToolCall {
    let text = |key: &str| item.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let arguments = match item.get("arguments") {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(object) => object.to_string(),
    };
    let id = text("call_id").or(text("id")).unwrap_or_default();
    let call = tool_call(id, text("name").unwrap_or_default(), arguments);
    ToolCall { origin: "responses".to_owned(), ..call }
}

/// The texts and refusals of a list of parts, or a text.
fn joined(item: &Value, list: &str) -> String {
    match item.get(list) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => {
            let text =
                |part: &Value| part.get("text").or_else(|| part.get("refusal"))?.as_str().map(str::to_owned);
            parts.iter().filter_map(text).collect::<Vec<_>>().join("\n")
        }
        _ => String::new(),
    }
}

pub(crate) fn tokens(usage: &Value) -> Tokens {
    let count = |path: &str| usage.pointer(path).and_then(count).unwrap_or(0);
    Tokens {
        prompt: count("/input_tokens"),
        completion: count("/output_tokens"),
        cache_read: count("/input_tokens_details/cached_tokens"),
        reasoning: count("/output_tokens_details/reasoning_tokens"),
        ..Tokens::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ending(extra: &Value, output: &Value) -> Result<Ending, Problem> {
        let mut body = json!({"id": "r", "output": output});
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        read(body.to_string().as_bytes()).map(|answer| answer.ending)
    }

    #[test]
    fn a_response_that_is_not_complete_says_so() {
        let call = json!({"type": "function_call", "call_id": "1", "name": "run", "arguments": "{}"});
        let text = json!({"type": "message", "content": [{"type": "output_text", "text": "hi"}]});
        let of = |reason: &str| json!({"status": "incomplete", "incomplete_details": {"reason": reason}});
        let both = json!([call, call]);
        assert_eq!(ending(&of("max_output_tokens"), &both), Ok(Ending::Cut { whole_calls: 1 }));
        assert_eq!(
            ending(&of("max_output_tokens"), &json!([call, text])),
            Ok(Ending::Cut { whole_calls: 1 })
        );
        assert_eq!(
            ending(&json!({"status": "incomplete"}), &json!([text])),
            Ok(Ending::Cut { whole_calls: 0 })
        );
        assert_eq!(ending(&of("content_filter"), &json!([text])), Ok(Ending::Withheld));
        assert_eq!(ending(&json!({"status": "completed"}), &json!([text])), Ok(Ending::Done));
        for status in ["queued", "in_progress", "cancelled", "failed"] {
            assert!(ending(&json!({"status": status}), &json!([text])).is_err(), "{status}");
        }
    }

    #[test]
    fn odd_types_take_nothing_from_the_rest() {
        let output = json!([
            {"type": "reasoning", "summary": [{"text": "one"}]},
            {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "two"}]},
            {"type": "message", "content": "hi"},
            {"type": "function_call", "id": "fc", "name": "run", "arguments": {"a": 1}},
        ]);
        let got = read(json!({"id": 1, "output": output, "usage": 3}).to_string().as_bytes()).unwrap();
        assert_eq!((got.text.as_str(), got.reasoning.as_str()), ("hi", "one\n\ntwo"));
        assert_eq!((got.calls[0].id.as_str(), got.calls[0].arguments.as_str()), ("fc", "{\"a\":1}"));
    }
}
