//! How an answer ended, in the words that providers have for it.

use serde_json::{Value, json};
use types::content::ToolCall;
use types::model::Ending;

use crate::problem::Problem;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    Done,
    Cut,
    Withheld,
    Paused,
    /// It is no answer: something broke.
    Failed,
    /// The model wrote a call that its provider cannot read.
    Unreadable,
}

const NONE: &[&str] =
    &["", "null", "none", "undefined", "unspecified", "finish_reason_unspecified", "in_progress"];
const CUT: &[&str] = &[
    "length",
    "max_tokens",
    "max_output_tokens",
    "max_completion_tokens",
    "max_new_tokens",
    "max_length",
    "model_length",
    "token_limit",
    "output_limit",
    "context_length",
    "context_length_exceeded",
    "context_window_exceeded",
    "model_context_window_exceeded",
];
const WITHHELD: &[&str] = &[
    "content_filter",
    "content_filtered",
    "contentfilter",
    "refusal",
    "safety",
    "image_safety",
    "recitation",
    "blocklist",
    "blocked",
    "prohibited_content",
    "spii",
    "sensitive",
    "moderation",
    "guardrail_intervened",
    "error_toxic",
];
const FAILED: &[&str] = &[
    "error",
    "failed",
    "abort",
    "aborted",
    "cancelled",
    "canceled",
    "timeout",
    "network_error",
    "server_error",
    "model_error",
    "engine_overloaded",
    "insufficient_system_resource",
    "unexpected_tool_call",
];
const UNREADABLE: &[&str] = &["malformed_function_call", "malformed_tool_use", "tool_use_failed"];

/// What a reason says; `None`: nothing yet. A word that nobody knows says that the answer is over.
pub(crate) fn reason(said: &Value) -> Option<Reason> {
    let word = match said {
        Value::String(word) => word.as_str(),
        Value::Object(fields) => {
            ["type", "reason"].iter().find_map(|key| fields.get(*key)?.as_str()).unwrap_or_default()
        }
        Value::Number(_) | Value::Bool(true) => "stop",
        Value::Null | Value::Bool(false) | Value::Array(_) => "",
    };
    let word = word.trim().to_ascii_lowercase().replace('-', "_");
    let is = |words: &[&str]| words.contains(&word.as_str());
    Some(match () {
        () if is(NONE) => return None,
        () if is(CUT) => Reason::Cut,
        () if is(WITHHELD) => Reason::Withheld,
        () if word == "pause_turn" => Reason::Paused,
        () if is(FAILED) => Reason::Failed,
        () if is(UNREADABLE) => Reason::Unreadable,
        () => Reason::Done,
    })
}

impl Reason {
    /// Of an answer with these calls; `last_is_call`: nothing may have come after the last of them. A limit that cuts an answer cuts what
    /// came last, also where a server closes the brackets itself.
    pub(crate) fn ending(self, calls: &[ToolCall], last_is_call: bool) -> Result<Ending, Problem> {
        Ok(match self {
            Self::Done => Ending::Done,
            Self::Cut => {
                let most = calls.len().saturating_sub(usize::from(last_is_call));
                let whole = calls.iter().take(most).take_while(|call| is_whole(&call.arguments));
                Ending::Cut { whole_calls: whole.count() }
            }
            Self::Withheld => Ending::Withheld,
            Self::Paused => Ending::Paused,
            Self::Failed => return Err(Problem::in_body(&json!("the provider broke off its answer"))),
            Self::Unreadable => {
                let message = "the provider could not read a call that its model wrote";
                return Err(Problem::in_body(&json!({"message": message, "code": "tool_use_failed"})));
            }
        })
    }
}

fn is_whole(arguments: &str) -> bool {
    arguments.trim().is_empty() || serde_json::from_str::<serde::de::IgnoredAny>(arguments).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::tool_call;

    #[test]
    fn only_a_word_that_says_so_is_an_end() {
        for none in [json!(null), json!(""), json!(" "), json!("null"), json!(false), json!({})] {
            assert_eq!(reason(&none), None, "{none}");
        }
        for (said, expected) in [
            (json!("stop"), Reason::Done),
            (json!("eos"), Reason::Done),
            (json!("tool_calls"), Reason::Done),
            (json!("MAX_TOKENS"), Reason::Cut),
            (json!("content-filter"), Reason::Withheld),
            (json!({"type": "length"}), Reason::Cut),
            (json!("MALFORMED_FUNCTION_CALL"), Reason::Unreadable),
        ] {
            assert_eq!(reason(&said), Some(expected), "{said}");
        }
    }

    #[test]
    fn the_last_call_of_a_cut_answer_is_not_whole() {
        let calls = ["{}", "{\"a\": 1}", "{\"b\": 2}"].map(|text| tool_call("i", "t", text.to_owned()));
        let whole = |calls: &[ToolCall], last| Reason::Cut.ending(calls, last).unwrap();
        assert_eq!(whole(&calls, true), Ending::Cut { whole_calls: 2 });
        assert_eq!(whole(&calls, false), Ending::Cut { whole_calls: 3 });
        assert_eq!(whole(&[], true), Ending::Cut { whole_calls: 0 });
        let broken = ["{}", "{\"a\"", "{}", "{}"].map(|text| tool_call("i", "t", text.to_owned()));
        assert_eq!(whole(&broken, true), Ending::Cut { whole_calls: 1 });
    }
}
