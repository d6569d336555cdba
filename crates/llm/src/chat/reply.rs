//! Reads a whole answer, and the parts that plain answers and stream chunks share. Servers differ in all but the names of the
//! fields: what is odd in one field takes nothing from the others.

use serde_json::Value;

use crate::answer::{Answer, Tokens, count, error_of, response_id, said_instead, tool_call};
use crate::ending::{Reason, reason};
use crate::json;
use crate::problem::Problem;

/// Reads the body of a plain answer.
pub(crate) fn read(body: &[u8]) -> Result<Answer, Problem> {
    let reply = json::object(body)?;
    if let Some(problem) = problem(&reply) {
        return Err(problem);
    }
    let mut answer = Answer { id: response_id(id_of(&reply)), ..Answer::default() };
    answer.tokens = reply.get("usage").map(tokens).unwrap_or_default();
    let (mut ending, mut had_choice) = (Reason::Done, false);
    for choice in choices(&reply) {
        had_choice = true;
        ending = end_of(choice).unwrap_or(ending);
        let Some(said) = said(choice, ["message", "delta"]) else { continue };
        answer.text.push_str(&text_of(said));
        answer.reasoning.push_str(&reasoning_of(said));
        answer.thinking_blocks.extend(thinking_blocks_of(said));
        answer
            .calls
            .extend(calls_of(said).into_iter().filter(|call| !call.name.is_empty()).map(SaidCall::whole));
    }
    if !had_choice {
        return Err(said_instead(&reply).unwrap_or_else(Problem::no_response));
    }
    answer.ending = ending.ending(&answer.calls, true)?;
    Ok(answer)
}

/// A call, or a piece of one.
#[derive(Default)]
pub(super) struct SaidCall {
    pub index: Option<u64>,
    pub id: String,
    pub name: String,
    pub arguments: String,
}

impl SaidCall {
    fn of(call: &Value) -> Self {
        // Some servers leave the inner object out.
        let function = call.get("function").filter(|inner| inner.is_object()).unwrap_or(call);
        let arguments = match function.get("arguments") {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(object) => object.to_string(),
        };
        Self {
            index: call.get("index").and_then(number),
            id: call.get("id").map(word).unwrap_or_default(),
            name: function.get("name").and_then(Value::as_str).unwrap_or_default().to_owned(),
            arguments,
        }
    }

    fn whole(self) -> types::content::ToolCall {
        tool_call(&self.id, &self.name, self.arguments)
    }
}

/// What failed, although the answer began well: of the whole, or of its choice.
pub(super) fn problem(reply: &Value) -> Option<Problem> {
    let in_choices = list(reply.get("choices")).iter().find_map(|choice| error_of(choice));
    error_of(reply).or(in_choices).map(Problem::in_body)
}

/// The id of an answer: a number with some servers.
pub(super) fn id_of(reply: &Value) -> Option<String> {
    reply.get("id").map(word).filter(|id| !id.is_empty())
}

/// The parts of the one answer that was asked for. Some servers give its text and its calls a choice each.
pub(super) fn choices(reply: &Value) -> impl Iterator<Item = &Value> {
    let all = list(reply.get("choices"));
    let index = |choice: &Value| choice.get("index").and_then(number).unwrap_or(0);
    let first = all.first().map_or(0, index);
    all.iter().filter(move |choice| choice.is_object() && index(choice) == first)
}

/// A list; one that has a single item may be that item.
fn list(value: Option<&Value>) -> &[Value] {
    match value {
        Some(Value::Array(items)) => items,
        Some(object @ Value::Object(fields)) if !fields.is_empty() => std::slice::from_ref(object),
        _ => &[],
    }
}

/// The message of a choice, or a piece of it, under the first of the names that is there.
pub(super) fn said<'a>(choice: &'a Value, names: [&str; 2]) -> Option<&'a Value> {
    names.iter().find_map(|name| choice.get(*name).filter(|said| said.is_object()))
}

pub(super) fn end_of(choice: &Value) -> Option<Reason> {
    let said = choice.get("finish_reason").and_then(reason);
    // A router may call an end good that its provider called a failure.
    let natively = choice.get("native_finish_reason").and_then(reason);
    natively.filter(|natively| said.is_some() && *natively == Reason::Unreadable).or(said)
}

pub(super) fn text_of(said: &Value) -> String {
    let text = said.get("content").map(|content| plain_text(content, 0)).unwrap_or_default();
    if text.is_empty() {
        said.get("refusal").map(|refusal| plain_text(refusal, 0)).unwrap_or_default()
    } else {
        text
    }
}

/// The thoughts, under whichever of their names.
pub(super) fn reasoning_of(said: &Value) -> String {
    let named = ["reasoning_content", "reasoning", "thinking"].iter().filter_map(|key| said.get(key));
    let named = named.map(|value| plain_text(value, 0)).find(|text| !text.is_empty());
    named.unwrap_or_else(|| {
        let parts = list(said.get("content")).iter().filter(|part| is_thought(part));
        parts.filter_map(|part| part.get("thinking")).map(|thought| plain_text(thought, 0)).collect()
    })
}

pub(super) fn thinking_blocks_of(said: &Value) -> impl Iterator<Item = Value> {
    list(said.get("thinking_blocks")).iter().filter(|block| block.is_object()).cloned()
}

/// The calls, also one in the form that came before lists of them.
pub(super) fn calls_of(said: &Value) -> Vec<SaidCall> {
    let mut calls: Vec<_> = list(said.get("tool_calls")).iter().map(SaidCall::of).collect();
    if calls.is_empty() {
        calls.extend(said.get("function_call").filter(|call| call.is_object()).map(SaidCall::of));
    }
    calls
}

fn is_thought(part: &Value) -> bool {
    part.get("type").is_some_and(|kind| kind == "thinking")
}

/// A text, or those of a list of blocks, thoughts left out.
fn plain_text(content: &Value, depth: u8) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) if depth < 4 => {
            parts.iter().filter(|part| !is_thought(part)).map(|part| plain_text(part, depth + 1)).collect()
        }
        Value::Object(part) if depth < 4 => {
            let named =
                ["text", "content", "summary", "refusal", "value"].iter().find_map(|key| part.get(*key));
            named.map(|inner| plain_text(inner, depth + 1)).unwrap_or_default()
        }
        _ => String::new(),
    }
}

/// A number, or a text that is one; nothing below zero.
fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.trim().parse().ok())
}

/// A text, or a number as one.
fn word(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    }
}

pub(crate) fn tokens(usage: &Value) -> Tokens {
    let count = |path: &str| usage.pointer(path).and_then(count);
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(choices: Value) -> Answer {
        read(json!({"id": 7, "choices": choices}).to_string().as_bytes()).unwrap()
    }

    #[test]
    fn odd_types_take_nothing_from_the_rest() {
        let call = json!({"index": "0", "id": 12, "function": {"name": "run", "arguments": {"a": 1}}});
        for (field, odd) in [
            ("refusal", json!({"reason": "none"})),
            ("reasoning_content", json!([{"text": "hm"}])),
            ("annotations", json!(7)),
            ("thinking_blocks", json!("x")),
            ("function_call", json!("auto")),
        ] {
            let mut message = json!({"content": "hi", "tool_calls": [call]});
            message[field] = odd;
            let got = answer(json!([{"index": -1, "message": message, "finish_reason": "stop"}]));
            assert_eq!((got.id.as_str(), got.text.as_str()), ("7", "hi"), "{field}");
            assert_eq!(got.calls, [tool_call("12", "run", r#"{"a":1}"#.to_owned())], "{field}");
        }
        assert!(answer(json!([{"message": {"content": "hi", "tool_calls": {}}}])).calls.is_empty());
        assert_eq!(answer(json!({"message": {"content": "hi"}})).text, "hi");
    }

    #[test]
    fn texts_and_thoughts_come_in_many_forms() {
        let mistral = json!([{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "hi"}]);
        for message in [
            json!({"content": "hi", "reasoning": "hm", "reasoning_content": ""}),
            json!({"content": ["h", {"type": "text", "text": {"value": "i"}}], "thinking": "hm"}),
            json!({"content": {"text": "hi"}, "reasoning": {"content": "hm"}}),
            json!({"content": null, "refusal": "hi", "reasoning_content": [{"summary": "hm"}]}),
            json!({"content": mistral}),
        ] {
            let got = answer(json!([{"message": message}]));
            assert_eq!((got.text.as_str(), got.reasoning.as_str()), ("hi", "hm"), "{message}");
        }
    }

    #[test]
    fn parts_of_an_answer_in_several_choices_and_calls_of_the_old_form_are_found() {
        let text = json!({"message": {"content": "On it."}, "finish_reason": "tool_calls"});
        let call = json!({"id": "1", "function": {"name": "run", "arguments": "{}"}});
        let got = answer(json!([text, {"message": {"tool_calls": [call]}, "finish_reason": "tool_calls"}]));
        assert_eq!((got.text.as_str(), got.calls.len()), ("On it.", 1));
        let other = answer(
            json!([{"index": 0, "message": {"content": "a"}}, {"index": 1, "message": {"content": "b"}}]),
        );
        assert_eq!(other.text, "a", "another answer is no part of this one");
        let old = answer(json!([{"message": {"function_call": {"name": "run", "arguments": "{}"}}}]));
        assert_eq!(old.calls, [tool_call("", "run", "{}".to_owned())]);
    }

    #[test]
    fn what_is_said_in_the_place_of_choices_is_told() {
        let body = json!({"choices": null, "base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}});
        let failure = read(body.to_string().as_bytes()).unwrap_err().into_failure("X");
        assert!(failure.detail.contains("insufficient balance"), "{}", failure.detail);
        assert_eq!(read(b"{\"choices\": []}").unwrap_err(), Problem::no_response());
    }
}
