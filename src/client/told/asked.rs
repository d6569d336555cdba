//! How it goes with asking the model, as long as nothing has come of it: an address with a typo is tried again for minutes.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::client::values::text;

/// What an attempt ends with that somebody has stopped.
const CANCELLED: &str = "cancelled";

/// Many think for longer before they say anything; an address that leads nowhere says nothing, either.
const LONG: Duration = Duration::from_secs(10);

/// A model that is asked, and has not said anything yet.
#[derive(Default)]
pub struct Asked {
    since: Option<Instant>,
    failure: Option<String>,
    /// That it says nothing.
    is_told: bool,
}

impl Asked {
    /// What there is to say of a piece: that an attempt has failed.
    pub fn hear(&mut self, piece: &Value) -> Option<String> {
        match text(piece, "/type") {
            "item_started" => {
                self.since.get_or_insert_with(Instant::now);
                None
            }
            "item_aborted" => {
                let reason = text(piece, "/reason");
                if reason.is_empty() || reason == CANCELLED {
                    return None;
                }
                self.failure = Some(reason.to_owned());
                let attempt = piece.get("attempt").and_then(Value::as_u64).unwrap_or(1);
                Some(format!("attempt {attempt} to ask the model: {reason}"))
            }
            _ => {
                *self = Self::default();
                None
            }
        }
    }

    /// Something was stored: it has answered, or failed for good.
    pub fn end(&mut self) {
        *self = Self::default();
    }

    /// When it is to be told that nothing has come yet.
    pub fn tells_at(&self) -> Option<Instant> {
        let is_known = self.is_told || self.failure.is_some();
        self.since.filter(|_| !is_known).map(|since| since + LONG)
    }

    /// Why nothing has come yet; it need not be told again by itself.
    pub fn tell(&mut self) -> Option<String> {
        self.is_told = true;
        self.why()
    }

    /// Why nothing has come yet.
    pub fn why(&self) -> Option<String> {
        let seconds = self.since?.elapsed().as_secs();
        Some(match &self.failure {
            Some(reason) => format!("the model was asked for {seconds} s in vain: {reason}"),
            None => format!("the model was asked {seconds} s ago and has said nothing"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn why_nothing_comes_is_known_until_something_comes() {
        let mut asked = Asked::default();
        assert_eq!(asked.why(), None);
        assert_eq!(asked.hear(&json!({"type": "item_started", "attempt": 1})), None);
        assert!(asked.tells_at().is_some() && asked.tell().unwrap().contains("has said nothing"));
        assert!(asked.tells_at().is_none(), "it is told once");
        let refused = json!({"type": "item_aborted", "attempt": 1, "reason": "Connection refused"});
        assert_eq!(asked.hear(&refused).unwrap(), "attempt 1 to ask the model: Connection refused");
        assert_eq!(asked.hear(&json!({"type": "item_started", "attempt": 2})), None);
        assert_eq!(asked.hear(&json!({"type": "item_aborted", "attempt": 2, "reason": "cancelled"})), None);
        assert!(asked.why().unwrap().ends_with("Connection refused"));
        asked.hear(&json!({"type": "delta", "kind": "text", "content": "Hi"}));
        assert_eq!(asked.why(), None);
    }
}
