//! Short ways into JSON.

use serde_json::{Map, Value, json};

static NULL: Value = Value::Null;

pub trait Look {
    /// What is at a pointer; null where nothing is.
    fn at(&self, pointer: &str) -> &Value;
    fn text(&self, pointer: &str) -> &str;
    fn list(&self, pointer: &str) -> &[Value];
    fn has(&self, pointer: &str) -> bool;
}

impl Look for Value {
    fn at(&self, pointer: &str) -> &Value {
        self.pointer(pointer).unwrap_or(&NULL)
    }

    fn text(&self, pointer: &str) -> &str {
        self.at(pointer).as_str().unwrap_or_default()
    }

    fn list(&self, pointer: &str) -> &[Value] {
        self.at(pointer).as_array().map_or(&[], Vec::as_slice)
    }

    fn has(&self, pointer: &str) -> bool {
        !self.at(pointer).is_null()
    }
}

/// The object at a path of names, made where there is none.
pub fn object<'a>(value: &'a mut Value, path: &[&str]) -> &'a mut Map<String, Value> {
    let mut at = value;
    for name in path {
        if !at.is_object() {
            *at = json!({});
        }
        at = at.as_object_mut().unwrap().entry(*name).or_insert_with(|| json!({}));
    }
    if !at.is_object() {
        *at = json!({});
    }
    at.as_object_mut().unwrap()
}

pub fn set(value: &mut Value, path: &[&str], to: impl Into<Value>) {
    let (last, path) = path.split_last().unwrap();
    object(value, path).insert((*last).to_owned(), to.into());
}

pub fn unset(value: &mut Value, path: &[&str]) {
    let (last, path) = path.split_last().unwrap();
    let mut at = value;
    for name in path {
        let Some(next) = at.get_mut(*name) else { return };
        at = next;
    }
    if let Some(map) = at.as_object_mut() {
        map.shift_remove(*last);
    }
}

/// Where there is none yet.
pub fn default(value: &mut Value, path: &[&str], to: impl Into<Value>) {
    let (last, path) = path.split_last().unwrap();
    let map = object(value, path);
    if map.get(*last).is_none_or(Value::is_null) {
        map.insert((*last).to_owned(), to.into());
    }
}

/// As the API writes times.
#[must_use]
pub fn now() -> String {
    time(jiff::Timestamp::now())
}

#[must_use]
pub fn time(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A condition of a status, put where the one of its type is.
pub fn set_condition(object_: &mut Value, condition: Value) {
    let list = object(object_, &["status"]).entry("conditions").or_insert_with(|| json!([]));
    let Some(list) = list.as_array_mut() else { return };
    let kind = condition["type"].clone();
    match list.iter_mut().find(|other| other["type"] == kind) {
        Some(other) => {
            let same = other["status"] == condition["status"];
            let since = other["lastTransitionTime"].clone();
            *other = condition;
            if same {
                other["lastTransitionTime"] = since;
            }
        }
        None => list.push(condition),
    }
}
