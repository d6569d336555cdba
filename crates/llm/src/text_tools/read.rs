//! The calls in the text of an answer.

use types::model::{Ending, ToolSchema};

use super::call::arguments;
use super::{CALL, CALL_END};
use crate::answer::{Answer, tool_call};

/// The answer with the calls that are written at its end as its calls. What comes behind them the model has made up.
pub(crate) fn with_calls(mut answer: Answer, tools: &[ToolSchema]) -> Answer {
    let Some(start) = answer.text.find(CALL).filter(|_| answer.calls.is_empty()) else { return answer };
    let mut rest = answer.text.get(start..).unwrap_or_default();
    let (mut calls, mut is_whole) = (Vec::new(), true);
    while let Some((name, behind)) =
        rest.trim_start().strip_prefix(CALL).and_then(|rest| rest.split_once('>'))
    {
        let end = end_of(behind);
        let body = behind.get(..end.unwrap_or(behind.len())).unwrap_or_default();
        let name = name.trim().trim_matches(['"', '\'']);
        calls.push(tool_call("", name, arguments(body, tools.iter().find(|tool| tool.name == name))));
        is_whole = end.is_some();
        rest = end.and_then(|end| behind.get(end + CALL_END.len()..)).unwrap_or_default();
    }
    if let Ending::Cut { whole_calls } = &mut answer.ending {
        *whole_calls = calls.len().saturating_sub(usize::from(!is_whole));
    }
    let said = answer.text.get(..start).unwrap_or_default().trim_end().len();
    answer.text.truncate(said);
    answer.calls = calls;
    answer
}

/// Where a call ends. A value may hold such a tag as well: it is the one behind the last value, if there is such a one.
fn end_of(text: &str) -> Option<usize> {
    let ends = || text.match_indices(CALL_END).map(|(at, _)| at);
    let is_behind_a_value = |at: &usize| {
        let before = text.get(..*at).unwrap_or_default().trim_end();
        before.ends_with(super::PARAMETER_END) || !before.contains(super::PARAMETER)
    };
    ends().find(is_behind_a_value).or_else(|| ends().next())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use serde_json::{Value, json};
    use types::content::{Message, Role, joined_text};
    use types::model::ModelRequest;

    use super::*;
    use crate::text_tools::without_tools;

    fn tools() -> Vec<ToolSchema> {
        let of = |kind: &str| json!({"type": kind});
        let parameters = json!({"type": "object", "properties": {
            "text": of("string"), "count": of("integer"), "flag": of("boolean"), "list": of("array"), "any": {},
        }});
        vec![ToolSchema { name: "terminal".into(), description: "Runs.".into(), parameters }]
    }

    fn read(text: &str) -> (String, Vec<(String, Value)>) {
        let answer = with_calls(Answer { text: text.to_owned(), ..Answer::default() }, &tools());
        let calls = answer.calls.iter();
        let calls = calls.map(|call| (call.name.clone(), serde_json::from_str(&call.arguments).unwrap()));
        (answer.text.clone(), calls.collect())
    }

    #[test]
    fn a_call_is_found_whether_or_not_its_end_was_written() {
        let call = "I look.\n\n<function=terminal>\n<parameter=text>ls -l</parameter>\n<parameter=count>3</parameter>\n";
        let expected =
            ("I look.".to_owned(), vec![("terminal".to_owned(), json!({"text": "ls -l", "count": 3}))]);
        for end in ["", "</function>", "</function>\n\nEXECUTION RESULT of [terminal]:\nall is well"] {
            assert_eq!(read(&format!("{call}{end}")), expected, "{end}");
        }
        assert_eq!(read("I am done <here>."), ("I am done <here>.".to_owned(), vec![]));
        assert_eq!(read("<function=\"finish\">").1, [("finish".to_owned(), json!({}))]);
        assert_eq!(
            read("<function=terminal>{\"text\": \"a\"}</function>").1,
            [("terminal".to_owned(), json!({"text": "a"}))]
        );
        assert_eq!(read(&format!("{call}</function>\n{}", call.trim_start_matches("I look."))).1.len(), 2);
        assert_eq!(read(&format!("{call}</function>\nI look on. {call}")).1.len(), 1, "it is made up");
    }

    #[test]
    fn values_are_of_the_types_that_the_tool_wants_and_keep_what_is_in_them() {
        let body = "<parameter=flag>True</parameter><parameter=list>[1, \"a\"]</parameter><parameter=text>\n  1\n\n</parameter><parameter=count>many</parameter><parameter=any>1</parameter>";
        let expected = json!({"flag": true, "list": [1, "a"], "text": "  1\n", "count": "many", "any": "1"});
        assert_eq!(read(&format!("<function=terminal>{body}")).1, [("terminal".to_owned(), expected)]);
        let tag = "<parameter=text>\na </parameter> b\n</function> c\n</parameter>\n</function>";
        let expected = json!({"text": "a </parameter> b\n</function> c"});
        assert_eq!(read(&format!("<function=terminal>{tag}")).1, [("terminal".to_owned(), expected)]);
    }

    #[test]
    fn a_call_that_was_cut_off_is_not_whole() {
        let text =
            "<function=terminal><parameter=text>a</parameter></function><function=terminal><parameter=text>b";
        let cut =
            Answer { text: text.to_owned(), ending: Ending::Cut { whole_calls: 0 }, ..Answer::default() };
        assert_eq!(with_calls(cut, &tools()).ending, Ending::Cut { whole_calls: 1 });
    }

    proptest! {
        /// What is written of a call in the next request is what is read of it, had the model written that.
        #[test]
        fn calls_are_read_as_they_are_written(text in "[a-z<>/=\n\"\\\\ é]{0,30}", count in any::<i64>(), flag in any::<bool>(), list in proptest::collection::vec("[a-z\n]{0,4}", 0..3)) {
            let arguments = json!({"text": text, "count": count, "flag": flag, "list": list});
            let call = tool_call("1", "terminal", arguments.to_string());
            let said = Message { tool_calls: vec![call], ..Message::new(Role::Assistant, "I do it.") };
            let request = ModelRequest { messages: vec![Arc::new(said)], tools: tools().into() };
            let written = without_tools(&request);
            let told = joined_text(&written.messages[1].content);
            prop_assert_eq!(read(&told), ("I do it.".to_owned(), vec![("terminal".to_owned(), arguments)]));
        }
    }
}
