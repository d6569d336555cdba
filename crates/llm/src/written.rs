//! What a model has written of a call, in a form that every model takes: a conversation goes from one to another, and what the one
//! made up the other would refuse, request after request.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;
use types::depth;

use crate::json::without_halves;

/// Most characters of a tool's name.
const LONGEST_NAME: usize = 64;
/// Levels of arguments: servers that read them refuse deeper ones.
const DEEPEST: usize = 48;

/// The name of a tool; a model may have made it up.
pub(crate) fn tool_name(name: &str) -> Cow<'_, str> {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-');
    // Some take no name that begins with a digit.
    let begins = |name: &str| name.starts_with(|letter: char| !letter.is_ascii_digit() && letter != '-');
    if (1..=LONGEST_NAME).contains(&name.len()) && name.chars().all(fits) && begins(name) {
        return Cow::Borrowed(name);
    }
    let made = name.chars().map(|letter| if fits(letter) { letter } else { '_' });
    let begin = (!begins(name)).then_some('_');
    Cow::Owned(begin.into_iter().chain(made).take(LONGEST_NAME).collect())
}

/// A JSON object, written as an object.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct Arguments<'a>(Cow<'a, RawValue>);

impl<'a> Arguments<'a> {
    /// What is no object is put into one, so that the model sees what it wrote.
    pub(crate) fn of(written: &'a str) -> Self {
        let written = written.trim();
        if written.contains("\\ud") || written.contains("\\uD") {
            let repaired = without_halves(written.to_owned());
            if repaired != written {
                let whole = RawValue::from_string(repaired).ok();
                return whole.filter(|raw| raw.get().starts_with('{')).map_or_else(
                    || Self::made(&json!({ "unreadable_arguments": written })),
                    |raw| Self(Cow::Owned(raw)),
                );
            }
        }
        match serde_json::from_str::<&RawValue>(written) {
            Ok(object) if written.starts_with('{') && depth(written.as_bytes()) <= DEEPEST => {
                Self(Cow::Borrowed(object))
            }
            _ if written.is_empty() => Self::made(&json!({})),
            _ => Self::made(&json!({ "unreadable_arguments": written })),
        }
    }

    fn made(object: &serde_json::Value) -> Self {
        // Such a value is always JSON.
        Self(
            RawValue::from_string(object.to_string())
                .map_or_else(|_| Cow::Borrowed(RawValue::NULL), Cow::Owned),
        )
    }

    /// The object as a text.
    pub(crate) fn text(&self) -> Cow<'a, str> {
        match &self.0 {
            Cow::Borrowed(object) => Cow::Borrowed(object.get()),
            Cow::Owned(object) => Cow::Owned(object.get().to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_tools_have_letters_that_every_model_takes_and_not_too_many() {
        assert_eq!(tool_name("mcp_a-B_9"), "mcp_a-B_9");
        assert_eq!(tool_name("functions.terminal"), "functions_terminal");
        assert_eq!(tool_name("a b|\u{e9}"), "a_b__");
        assert_eq!(tool_name(""), "_");
        assert_eq!(tool_name(&"\u{e9}".repeat(100)), "_".repeat(64));
        assert_eq!(tool_name(&"x".repeat(65)), "x".repeat(64));
        assert_eq!(tool_name("7zip"), "_7zip");
        assert_eq!(tool_name(&"-".repeat(64)), format!("_{}", "-".repeat(63)));
    }

    #[test]
    fn arguments_are_always_an_object() {
        let text = |written: &str| Arguments::of(written).text().into_owned();
        assert_eq!(text(r#" {"a": 1, "a": 2} "#), r#"{"a": 1, "a": 2}"#, "as it was written");
        for nothing in ["", " \n"] {
            assert_eq!(text(nothing), "{}");
        }
        for unreadable in [r#"{"command": "ls"#, "[1]", "null", r#"{"a":1}{"b":2}"#, "ls -l\n\"quoted\""] {
            let object: serde_json::Value = serde_json::from_str(&text(unreadable)).unwrap();
            assert_eq!(object, json!({ "unreadable_arguments": unreadable }));
        }
        let nested = |levels: usize| format!("{}1{}", r#"{"a":"#.repeat(levels), "}".repeat(levels));
        assert_eq!(text(&nested(DEEPEST)), nested(DEEPEST));
        assert!(text(&nested(DEEPEST + 1)).starts_with(r#"{"unreadable_arguments":"#));
        assert_eq!(text(r#"{"a": "}[[{\"{{"}"#), r#"{"a": "}[[{\"{{"}"#);
        assert_eq!(text(r#"{"a": "\ud83d"}"#), "{\"a\": \"\u{fffd}\"}");
        let written = serde_json::to_value(Arguments::of("[1]")).unwrap();
        assert_eq!(written, json!({ "unreadable_arguments": "[1]" }));
    }
}
