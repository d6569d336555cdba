//! A JSON object whose values are left as they were written, and names of files.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Result, Value};

/// The digits of an event's number, at least.
const DIGITS: usize = 5;

/// A JSON object, its values unread.
pub(super) struct Fields(BTreeMap<String, Box<RawValue>>);

impl Fields {
    pub fn of(text: &str) -> Result<Self> {
        serde_json::from_str(text).map(Self)
    }

    /// Takes a field out and reads it; `None` where there is none, it is null, or it is something else than a `T`.
    pub fn take<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        let raw = self.0.remove(name)?;
        serde_json::from_str::<Option<T>>(raw.get()).ok().flatten()
    }

    /// As [`Fields::take`], but what is something else than a `T` stays where it is, and is told.
    pub fn take_if<T: DeserializeOwned>(&mut self, name: &str) -> std::result::Result<Option<T>, Odd> {
        let Some(raw) = self.0.get(name) else { return Ok(None) };
        let read = serde_json::from_str::<Option<T>>(raw.get()).map_err(|_| Odd)?;
        self.0.remove(name);
        Ok(read)
    }

    pub fn remove(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// What was not taken, as it was written but for white space.
    pub fn rest(self) -> BTreeMap<String, String> {
        self.0.into_iter().map(|(name, raw)| (name, compact(raw.get()))).collect()
    }
}

/// A value of a kind that is not known.
pub(super) struct Odd;

/// A JSON object that is written field by field.
#[derive(Default)]
pub(super) struct Object(String);

impl Object {
    pub fn field(&mut self, name: &str, value: &impl Serialize) -> Result<()> {
        let value = serde_json::to_string(value)?;
        self.raw(name, &value)
    }

    /// As [`Object::field`], where there is something to say.
    pub fn some(&mut self, name: &str, value: &impl Serialize) -> Result<()> {
        match serde_json::to_value(value)? {
            Value::Null => Ok(()),
            value => self.field(name, &value),
        }
    }

    pub fn raw(&mut self, name: &str, json: &str) -> Result<()> {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        self.0.push_str(&serde_json::to_string(name)?);
        self.0.push(':');
        self.0.push_str(json);
        Ok(())
    }

    pub fn end(mut self) -> String {
        if self.0.is_empty() {
            self.0.push('{');
        }
        self.0.push('}');
        self.0
    }
}

/// The same JSON without white space between its parts, all else byte for byte. Of what is no JSON it could make some: `1 2`.
#[must_use]
pub fn compact(json: &str) -> String {
    let (mut is_in_text, mut is_escaped) = (false, false);
    let is_kept = |c: &char| {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if is_in_text => is_escaped = true,
            '"' => is_in_text = !is_in_text,
            ' ' | '\t' | '\n' | '\r' if !is_in_text => return false,
            _ => {}
        }
        true
    };
    json.chars().filter(is_kept).collect()
}

/// The file of an event: `event-00007-<id>.json`. Of an id only what is safe in a name.
#[must_use]
pub fn event_file(number: u64, id: &str) -> String {
    let is_safe = |c: &char| c.is_ascii_alphanumeric() || *c == '-' || *c == '_';
    let id: String = id.chars().filter(is_safe).take(64).collect();
    format!("event-{number:0DIGITS$}-{id}.json")
}

/// The number of an event, by the name of its file; `None` for another file.
#[must_use]
pub fn event_of_file(name: &str) -> Option<u64> {
    let (number, id) = name.strip_prefix("event-")?.strip_suffix(".json")?.split_once('-')?;
    let is_number = number.len() >= DIGITS && number.bytes().all(|byte| byte.is_ascii_digit());
    let is_id = id.len() >= 8 && id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    (is_number && is_id).then(|| number.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_white_space_between_parts_goes() {
        let written = "{ \"a b\" : [ 1.0 ,\n\t1e3 ],\r\n\"c\": \"x \\\" \\\\\" , \"d\": \"\\n \" }";
        assert_eq!(compact(written), "{\"a b\":[1.0,1e3],\"c\":\"x \\\" \\\\\",\"d\":\"\\n \"}");
    }

    #[test]
    fn the_file_of_an_event_has_its_number() {
        let id = "0305bc09-6a80-43e7-8d71-c9ac70e30dd6";
        assert_eq!(event_of_file(&event_file(7, id)), Some(7));
        assert_eq!(event_of_file(&event_file(1_234_567, id)), Some(1_234_567));
        assert_eq!(event_file(1, "../../x"), "event-00001-x.json");
        for other in ["event-1-0305bc09.json", "event-00001-xyz.json", "event-00001-0305bc09.json.tmp", "a"] {
            assert_eq!(event_of_file(other), None, "{other}");
        }
    }
}
