//! An editor's action and its answer.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use types::Content;

use crate::files::Told;
use crate::observation::Observation;

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

    pub fn read(word: &str) -> Option<Self> {
        let all = [Self::View, Self::Create, Self::StrReplace, Self::Insert, Self::UndoEdit];
        all.into_iter().find(|command| command.word() == word)
    }

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

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Action {
    pub command: Command,
    pub path: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old_str: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_str: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub insert_line: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
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

    pub fn edited(mut text: String, old_content: Option<String>, new_content: String) -> Self {
        let told = Told::of(old_content, Some(new_content));
        if let Some(remark) = told.remark {
            text.push('\n');
            text.push_str(&remark);
        }
        Self { old_content: told.old, new_content: told.new, ..Self::shown(vec![Content::text(text)]) }
    }
}

pub fn observation(action: &Action, result: Result<Done, String>) -> Observation {
    let (done, is_error) = match result {
        Ok(done) => (done, false),
        Err(text) => (Done::shown(vec![Content::text(text)]), true),
    };
    let observation = Observation { content: done.content, is_error, fields: serde_json::Map::new() };
    observation
        .with("command", Some(action.command.word()))
        .with("path", (!is_error).then(|| action.path.to_string_lossy()))
        .with("prev_exist", Some(!done.created))
        .with("old_content", done.old_content)
        .with("new_content", done.new_content)
}
