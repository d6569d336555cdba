//! What is wrong with a value: by kind, place and words, never by what was sent.

use serde_json::{Value, json};

/// One step of the way to a place in a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Field(String),
    Index(usize),
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct Trouble {
    /// In the peer's words: `missing`, `int_parsing`, …
    pub kind: &'static str,
    pub at: Vec<Step>,
    pub says: String,
    /// The bounds that were not kept.
    pub bounds: Option<Value>,
}

impl From<&Step> for Value {
    fn from(step: &Step) -> Self {
        match step {
            Step::Field(name) => name.as_str().into(),
            Step::Index(index) => (*index).into(),
        }
    }
}

/// A kind with its words, before it is known where.
pub(crate) struct Fault {
    pub kind: &'static str,
    pub says: String,
    pub bounds: Option<Value>,
}

impl Fault {
    pub fn new(kind: &'static str, says: impl Into<String>) -> Self {
        Self { kind, says: says.into(), bounds: None }
    }

    pub fn missing() -> Self {
        Self::new("missing", "Field required")
    }

    pub fn extra() -> Self {
        Self::new("extra_forbidden", "Extra inputs are not permitted")
    }

    /// `noun`: what was wanted.
    pub fn wanted(kind: &'static str, noun: &str) -> Self {
        Self::new(kind, format!("Input should be a valid {noun}"))
    }

    pub fn object() -> Self {
        Self::wanted("model_attributes_type", "dictionary or object to extract fields from")
    }

    /// A bound by its short name: `ge`, `min_length`, …
    pub fn bounded(kind: &'static str, says: String, name: &str, bound: impl Into<Value>) -> Self {
        Self { kind, says, bounds: Some(json!({ name: bound.into() })) }
    }

    pub fn at(self, at: &[Step]) -> Trouble {
        Trouble { kind: self.kind, at: at.to_vec(), says: self.says, bounds: self.bounds }
    }
}
