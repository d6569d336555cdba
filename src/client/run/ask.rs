//! The user is asked whether actions may run.

use std::io::{self, Write};

use super::input::Lines;
use crate::client::plain::{block, line};
use crate::client::seen::{Action, Deed};
use crate::client::values::cut;

/// Characters of an action in the question.
const LONGEST: usize = 2_000;

#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    Yes,
    /// With the reason, if there is one.
    No(Option<String>),
    /// Nobody answers any more.
    Nobody,
}

/// Dropping the call loses nothing but the question.
pub async fn ask(lines: &mut Lines, actions: &[Action]) -> Answer {
    let mut question = String::new();
    for action in actions {
        question.push_str(&format!("  {}\n", in_words(action).replace('\n', "\n  ")));
    }
    loop {
        // Who does not see the question does not answer it.
        let _ = write!(io::stderr(), "The agent wants to run:\n{question}Run it? [y]es, [n]o, or why not: ");
        let Some(said) = lines.next().await else { return Answer::Nobody };
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

fn in_words(action: &Action) -> String {
    let words = match &action.deed {
        Deed::Command { line, .. } => format!("$ {}", block(line)),
        Deed::View { path } => format!("view {}", line(path)),
        Deed::Edit { command, path } => format!("{} {}", line(command), line(path)),
        _ => format!("{} {}", line(&action.tool), line(&action.arguments.to_string())),
    };
    cut(&words, LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_neither_yes_nor_no_is_the_reason_why_not() {
        assert_eq!(understand(" YES\n"), Some(Answer::Yes));
        assert_eq!(understand("n\n"), Some(Answer::No(None)));
        assert_eq!(understand("not that folder\n"), Some(Answer::No(Some("not that folder".to_owned()))));
        assert_eq!(understand("\n"), None);
    }
}
