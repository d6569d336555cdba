//! What an agent says while it says it, and how much of it is still to be told once it is stored.

use serde_json::Value;

use crate::client::plain::Plain;
use crate::client::values::text;

/// An answer that is being written.
#[derive(Default)]
pub struct Spoken {
    item: String,
    attempt: u64,
    /// As it was sent.
    so_far: String,
    plain: Plain,
}

/// What a piece adds to the screen.
#[derive(Debug, PartialEq, Eq)]
pub enum Told {
    More(String),
    /// The answer is begun anew: what was shown of it counts no more.
    Anew,
    Nothing,
}

impl Spoken {
    pub fn hear(&mut self, piece: &Value) -> Told {
        let (item, attempt) = (text(piece, "/item_id"), attempt(piece));
        match text(piece, "/type") {
            "item_aborted" if item == self.item => self.forget(),
            "delta" if text(piece, "/kind") == "text" => {
                let mut anew = false;
                if item != self.item || attempt != self.attempt {
                    anew = self.forget() == Told::Anew;
                    (self.item, self.attempt) = (item.to_owned(), attempt);
                }
                let shown = self.more(text(piece, "/content"));
                match shown.is_empty() {
                    true if anew => Told::Anew,
                    true => Told::Nothing,
                    false => Told::More(if anew { format!("\n{shown}") } else { shown }),
                }
            }
            _ => Told::Nothing,
        }
    }

    /// Nothing is shown of an answer before its first word: many have none.
    fn more(&mut self, content: &str) -> String {
        let was_open = self.is_open();
        self.so_far.push_str(content);
        match was_open {
            true => self.plain.feed(content),
            false => self.plain.feed(self.so_far.trim_start()),
        }
    }

    /// Whether there is an open line on the screen.
    pub fn is_open(&self) -> bool {
        !self.so_far.trim_start().is_empty()
    }

    /// What is left of `whole` to be told, that was stored as `event`; `None`: nothing of it was told. Then it is over.
    pub fn rest_of(&mut self, event: &str, whole: &str) -> Option<String> {
        let spoken = std::mem::take(self);
        let is_this = spoken.is_open() && spoken.item == event;
        let rest = whole.strip_prefix(spoken.so_far.as_str()).filter(|_| is_this)?;
        let mut plain = spoken.plain;
        Some(plain.feed(rest))
    }

    pub fn forget(&mut self) -> Told {
        let was_open = self.is_open();
        *self = Self::default();
        if was_open { Told::Anew } else { Told::Nothing }
    }
}

fn attempt(piece: &Value) -> u64 {
    piece.get("attempt").and_then(Value::as_u64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn delta(item: &str, attempt: u64, content: &str) -> Value {
        json!({"type": "delta", "kind": "text", "item_id": item, "attempt": attempt, "content": content})
    }

    #[test]
    fn what_was_heard_is_not_told_again() {
        let mut spoken = Spoken::default();
        assert_eq!(spoken.hear(&delta("a", 1, "Hel\u{1b}")), Told::More("Hel".to_owned()));
        assert_eq!(spoken.hear(&delta("a", 1, "[1mlo")), Told::More("lo".to_owned()));
        assert_eq!(spoken.rest_of("a", "Hel\u{1b}[1mlo, you"), Some(", you".to_owned()));
        assert!(!spoken.is_open());
    }

    #[test]
    fn an_answer_without_a_word_leaves_the_screen_as_it_is() {
        let mut spoken = Spoken::default();
        assert_eq!(spoken.hear(&delta("a", 1, "\n")), Told::Nothing);
        assert_eq!(spoken.rest_of("a", "\n"), None);
        assert_eq!(spoken.hear(&delta("b", 1, "\n ")), Told::Nothing);
        assert_eq!(spoken.hear(&delta("b", 1, "\nHello\n")), Told::More("Hello\n".to_owned()));
        assert_eq!(spoken.rest_of("b", "\n \nHello\n"), Some(String::new()));
    }

    #[test]
    fn what_was_said_otherwise_is_told_whole() {
        let mut spoken = Spoken::default();
        spoken.hear(&delta("a", 1, "Hello"));
        assert_eq!(spoken.rest_of("b", "Hello"), None);
        spoken.hear(&delta("a", 1, "Hello"));
        assert_eq!(spoken.rest_of("a", "Goodbye"), None);
        assert_eq!(spoken.rest_of("a", "Goodbye"), None);
    }

    #[test]
    fn an_answer_that_is_asked_for_again_begins_anew() {
        let mut spoken = Spoken::default();
        spoken.hear(&delta("a", 1, "Hel"));
        assert_eq!(spoken.hear(&json!({"type": "item_aborted", "item_id": "a", "attempt": 1})), Told::Anew);
        assert_eq!(spoken.hear(&delta("a", 2, "Good")), Told::More("Good".to_owned()));
        assert_eq!(spoken.rest_of("a", "Good"), Some(String::new()));
    }
}
