//! An editor's action and its answer.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use types::Content;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    View,
    Create,
    StrReplace,
    Insert,
    UndoEdit,
}

impl Command {
    pub const WORDS: [&str; 5] = ["view", "create", "str_replace", "insert", "undo_edit"];

    pub const fn word(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Create => "create",
            Self::StrReplace => "str_replace",
            Self::Insert => "insert",
            Self::UndoEdit => "undo_edit",
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
pub struct Action {
    pub command: Command,
    pub path: PathBuf,
    pub file_text: Option<String>,
    pub old_str: Option<String>,
    pub new_str: Option<String>,
    pub insert_line: Option<usize>,
    pub view_range: Option<Vec<i64>>,
}

impl Action {
    /// # Errors
    /// The text for a parameter this command cannot do without.
    pub fn require<'a, T>(&self, name: &str, value: &'a Option<T>) -> Result<&'a T, String> {
        value
            .as_ref()
            .ok_or_else(|| format!("Parameter `{name}` is required for command: {}.", self.command.word()))
    }
}

/// The text for a parameter that cannot be used.
pub fn invalid(name: &str, value: impl std::fmt::Display, reason: impl std::fmt::Display) -> String {
    format!("Invalid `{name}` parameter: {value}. {reason}")
}

/// What a command did.
pub struct Done {
    pub content: Vec<Content>,
    pub created: bool,
    pub old_content: Option<String>,
    pub new_content: Option<String>,
}

impl Done {
    pub fn shown(content: Vec<Content>) -> Self {
        Self { content, created: false, old_content: None, new_content: None }
    }

    pub fn edited(text: String, old_content: String, new_content: String) -> Self {
        Self {
            content: vec![Content::text(text)],
            created: false,
            old_content: Some(old_content),
            new_content: Some(new_content),
        }
    }
}

pub fn observation(action: &Action, result: Result<Done, String>) -> Value {
    let (done, is_error) = match result {
        Ok(done) => (done, false),
        Err(text) => (Done::shown(vec![Content::text(text)]), true),
    };
    let mut fields = Map::new();
    fields.add("content", Some(done.content));
    fields.add("is_error", Some(is_error));
    fields.add("command", Some(action.command.word()));
    fields.add("path", (!is_error).then(|| action.path.to_string_lossy()));
    fields.add("prev_exist", Some(!done.created));
    fields.add("old_content", done.old_content);
    fields.add("new_content", done.new_content);
    fields.add("kind", Some("FileEditorObservation"));
    Value::Object(fields)
}

/// Leaves out what is absent.
pub trait MakesJson {
    fn add<T: Serialize>(&mut self, name: &str, value: Option<T>);
}

impl MakesJson for Map<String, Value> {
    fn add<T: Serialize>(&mut self, name: &str, value: Option<T>) {
        if let Some(value) = value {
            self.insert(name.to_owned(), json!(value));
        }
    }
}
