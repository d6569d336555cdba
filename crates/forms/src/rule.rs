//! What a schema says of a place in a value.

use regex::Regex;
use serde_json::Value;

use crate::number::Bounds;

pub(crate) enum Rule {
    Any,
    Null,
    Flag,
    Whole(Bounds),
    Number(Bounds),
    Text(Text),
    /// One of these values.
    Choice(Vec<Value>),
    List {
        items: usize,
        least: usize,
    },
    /// Any names, with values of one kind.
    Map {
        values: usize,
        least: usize,
        names: Option<Vec<String>>,
    },
    Record(Record),
    /// Objects of several kinds.
    Kinds(Kinds),
    /// What any of these takes.
    Either(Vec<usize>),
    /// Another rule.
    Same(usize),
}

#[derive(Default)]
pub(crate) struct Text {
    pub is_secret: bool,
    pub is_uuid: bool,
    pub least: Option<usize>,
    pub most: Option<usize>,
    pub pattern: Option<Regex>,
}

/// Named fields.
pub(crate) struct Record {
    pub fields: Vec<Field>,
    pub others: Others,
}

pub(crate) struct Field {
    pub name: String,
    pub rule: usize,
    pub is_required: bool,
    pub default: Option<Value>,
    /// Read, and not kept.
    pub is_hidden: bool,
    /// What it is whatever was sent.
    pub always: Option<Value>,
}

/// What becomes of fields that have no name in a form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Others {
    Dropped,
    Kept,
    Refused,
}

pub(crate) struct Kinds {
    /// The field that says which.
    pub tag: String,
    /// Whether it may be left out, where the first is meant.
    pub has_first: bool,
    pub kinds: Vec<(String, usize)>,
}
