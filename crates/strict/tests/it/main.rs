//! That each rule refuses what it is about, and nothing else.

#![cfg(test)]

mod anthropic;
mod chat;
mod responses;
mod seen;

use manyhands_strict::{Dialect, check};
use serde_json::{Value, json};

/// An image of one pixel.
const PNG: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==";

/// One change of a body that is taken, and what is then said of it.
type Fault = (&'static str, Value, &'static str);

/// What removes the value at a place.
fn gone() -> Value {
    json!("(gone)")
}

fn changed(body: &Value, place: &str, value: &Value) -> Value {
    let mut body = body.clone();
    let (parent, key) = place.rsplit_once('/').unwrap();
    match body.pointer_mut(parent).unwrap_or_else(|| panic!("no {parent}")) {
        Value::Object(fields) if *value == gone() => drop(fields.remove(key).unwrap()),
        Value::Object(fields) => drop(fields.insert(key.to_owned(), value.clone())),
        Value::Array(items) if *value == gone() => drop(items.remove(key.parse().unwrap())),
        Value::Array(items) if key == "-" => items.push(value.clone()),
        Value::Array(items) => items[key.parse::<usize>().unwrap()] = value.clone(),
        _ => panic!("{parent} holds nothing"),
    }
    body
}

/// That the body is taken, and that each of the faults is refused with its sentence.
fn refused(dialect: Dialect, body: &Value, faults: &[Fault]) {
    assert_eq!(check(dialect, body), Ok(()));
    for (place, value, sentence) in faults {
        let said = check(dialect, &changed(body, place, value));
        assert!(said.as_ref().is_err_and(|said| said.contains(sentence)), "{place} = {value}: {said:?}");
    }
}
