//! What an event of a streamed answer holds, whatever the dialect.

use serde_json::Value;

use crate::json;
use crate::problem::Problem;
use crate::sse::SseEvent;

/// Most characters of what is no JSON and yet no fault: signs of life.
const LONGEST_WORD: usize = 40;

impl SseEvent {
    /// The mark of the end, with which most streams end in most dialects.
    pub(crate) fn is_done(&self) -> bool {
        self.data.trim().eq_ignore_ascii_case("[DONE]")
    }

    /// The object; `None`: a sign of life and no part of the answer.
    pub(crate) fn object(&self) -> Result<Option<Value>, Problem> {
        let data = self.data.trim();
        // Some relays put the name of the field before what has it already.
        let data = data.strip_prefix("data:").map_or(data, str::trim_start);
        let value = json::piece(data.as_bytes());
        if self.name == "error" {
            let said = value.unwrap_or_else(|| Value::String(data.to_owned()));
            return Err(Problem::in_body(
                said.get("error").filter(|error| !error.is_null()).unwrap_or(&said),
            ));
        }
        match value {
            Some(object @ Value::Object(_)) => Ok(Some(object)),
            Some(Value::Array(_)) => Err(not_understood()),
            Some(_) => Ok(None),
            None if is_word(data) => Ok(None),
            None => Err(not_understood()),
        }
    }

    /// What was not ended: whole all the same, or cut off. And of servers that leave out the blank lines between events: each of
    /// them.
    pub(crate) fn parts(self) -> Vec<Self> {
        let is_json = |text: &str| json::piece(text.as_bytes()).is_some();
        if !self.data.contains('\n') || is_json(&self.data) {
            return vec![self];
        }
        let part = |line: &str| Self { name: self.name.clone(), data: line.to_owned() };
        let parts: Vec<_> = self.data.lines().filter(|line| !line.trim().is_empty()).map(part).collect();
        let are_whole = parts.iter().all(|part| part.is_done() || is_json(&part.data));
        if are_whole { parts } else { vec![self] }
    }

    /// Whether an event that the end of the stream cut short is whole all the same.
    pub(crate) fn is_whole(&self) -> bool {
        self.is_done() || json::piece(self.data.as_bytes()).is_some_and(|value| value.is_object())
    }
}

fn not_understood() -> Problem {
    Problem::garbled("a piece of the streamed answer is no JSON")
}

fn is_word(data: &str) -> bool {
    let is_plain =
        |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '[' | ']' | '_' | '-' | ' ');
    data.len() <= LONGEST_WORD && data.chars().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: &str, data: &str) -> SseEvent {
        SseEvent { name: name.to_owned(), data: data.to_owned() }
    }

    #[test]
    fn signs_of_life_are_no_part_of_an_answer_and_no_fault() {
        for data in ["ping", "[HEARTBEAT]", "null", "1", "\"ping\""] {
            assert_eq!(event("", data).object(), Ok(None), "{data}");
        }
        for data in ["{\"a\": ", "<html>", "[{}]", "{'a': 1}"] {
            assert!(event("", data).object().is_err(), "{data}");
        }
        assert!(event("", "data: {\"a\": 1}").object().unwrap().is_some());
    }

    #[test]
    fn an_event_named_error_is_one_whatever_it_holds() {
        for data in [r#"{"message": "too busy"}"#, r#"{"error": {"message": "too busy"}}"#, "too busy"] {
            let failure = event("error", data).object().unwrap_err().into_failure("X");
            assert!(failure.detail.contains("too busy"), "{}", failure.detail);
        }
    }

    #[test]
    fn events_without_blank_lines_between_them_are_told_apart() {
        let data = |event: SseEvent| event.parts().into_iter().map(|part| part.data).collect::<Vec<_>>();
        assert_eq!(data(event("", "{}\n{\"a\":\n1}")), ["{}\n{\"a\":\n1}"]);
        assert_eq!(data(event("", "{}\n{\"a\":1}\n[DONE]")), ["{}", "{\"a\":1}", "[DONE]"]);
        assert_eq!(data(event("", "{\"a\":\n1}")), ["{\"a\":\n1}"]);
    }
}
