//! A terminal action.

use serde::{Deserialize, Serialize};

use super::keys;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Call {
    pub command: String,
    pub is_input: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<f64>,
    pub reset: bool,
}

impl Call {
    /// Whether there is nothing to run or to type.
    pub fn is_empty(&self) -> bool {
        self.command.trim().is_empty() && !self.is_input || self.command.is_empty()
    }

    /// Whether it belongs to a command begun earlier.
    pub fn is_follow_up(&self) -> bool {
        self.is_input || self.is_empty()
    }

    /// What is to be typed, and a word about it for the answer.
    pub fn typing(&self) -> (Vec<u8>, String) {
        let Some(key) = keys::special_key(&self.command) else {
            return (keys::typed_line(&self.command), String::new());
        };
        let name = self.command.trim().to_ascii_uppercase();
        let note = name.strip_prefix("C-").map(|letter| format!(" CTRL+{letter} was sent."));
        (key, note.unwrap_or_default())
    }
}
