//! What a tool answers.

use serde::Serialize;
use serde_json::{Map, Value};
use types::Content;

/// The result of an action, as the model and clients are told of it.
#[derive(Clone, Debug)]
pub struct Observation {
    /// What the model reads.
    pub content: Vec<Content>,
    pub is_error: bool,
    /// What clients get beside it.
    pub fields: Map<String, Value>,
}

impl Observation {
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self { content: vec![Content::text(text)], is_error: false, fields: Map::new() }
    }

    #[must_use]
    pub fn error(text: impl Into<String>) -> Self {
        Self { is_error: true, ..Self::text(text) }
    }

    /// Adds a field; an absent value adds none.
    #[must_use]
    pub fn with(mut self, name: &str, value: Option<impl Serialize>) -> Self {
        let value = value.and_then(|value| serde_json::to_value(value).ok());
        if let Some(value) = value {
            self.fields.insert(name.to_owned(), value);
        }
        self
    }

    /// The object of the event.
    pub(crate) fn into_json(self, class: &str) -> Value {
        let mut object = Map::new();
        object.insert("content".to_owned(), serde_json::to_value(self.content).unwrap_or_default());
        object.insert("is_error".to_owned(), Value::Bool(self.is_error));
        object.extend(self.fields);
        object.insert("kind".to_owned(), Value::String(format!("{class}Observation")));
        Value::Object(object)
    }
}
