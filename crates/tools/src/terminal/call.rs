//! A terminal action, as the loop hands it over.

use serde_json::Value;

use super::keys;

pub struct Call {
    pub command: String,
    pub is_input: bool,
    pub timeout: Option<f64>,
    pub reset: bool,
}

impl Call {
    pub fn read(action: &Value) -> Self {
        let flag = |name: &str| action.get(name).and_then(Value::as_bool).unwrap_or(false);
        Self {
            command: action.get("command").and_then(Value::as_str).unwrap_or_default().to_owned(),
            is_input: flag("is_input"),
            timeout: action.get("timeout").and_then(Value::as_f64),
            reset: flag("reset"),
        }
    }

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
