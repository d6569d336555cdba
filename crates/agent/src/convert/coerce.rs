//! Values of nearly the right type.

use serde_json::{Map, Value};

/// Turns texts into the lists, objects, numbers and flags that the schema wants, and lists of texts into
/// the text it wants. What does not fit stays, for validation to name.
pub fn to_schema(arguments: &mut Map<String, Value>, schema: &Value) {
    for (name, value) in arguments.iter_mut() {
        let Some(wanted) = schema.get("properties").and_then(|all| all.get(name)) else { continue };
        if let Some(better) = coerced(value, wanted) {
            *value = better;
        }
    }
}

fn coerced(value: &Value, wanted: &Value) -> Option<Value> {
    match value {
        Value::String(_) if takes(wanted, "string") => None,
        Value::String(text) => decoded(text, wanted),
        Value::Array(items) if takes(wanted, "string") && !takes(wanted, "array") => joined(items),
        _ => None,
    }
}

/// The first JSON value of the text, if it has a wanted type; garbage behind it is passed over.
fn decoded(text: &str, wanted: &Value) -> Option<Value> {
    let text = match text.trim() {
        "True" => "true",
        "False" => "false",
        other => other,
    };
    let value = serde_json::Deserializer::from_str(text).into_iter::<Value>().next()?.ok()?;
    let fits = match &value {
        Value::Array(_) => takes(wanted, "array"),
        Value::Object(_) => takes(wanted, "object"),
        Value::Bool(_) => takes(wanted, "boolean"),
        Value::Number(number) => takes(wanted, "number") || number.is_i64() && takes(wanted, "integer"),
        Value::Null | Value::String(_) => false,
    };
    fits.then_some(value)
}

fn joined(items: &[Value]) -> Option<Value> {
    let pieces: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
    Some(Value::String(pieces?.concat()))
}

fn takes(schema: &Value, kind: &str) -> bool {
    match schema.get("type") {
        Some(Value::String(only)) => only == kind,
        Some(Value::Array(kinds)) => kinds.iter().any(|one| one == kind),
        _ => {
            let branches = schema.get("anyOf").or_else(|| schema.get("oneOf")).and_then(Value::as_array);
            branches.is_some_and(|all| all.iter().any(|branch| takes(branch, kind)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn coerce(kind: &str, value: Value) -> Value {
        let schema = json!({"type": "object", "properties": {"x": {"type": kind}}});
        let mut arguments = Map::from_iter([("x".to_owned(), value)]);
        to_schema(&mut arguments, &schema);
        arguments["x"].clone()
    }

    #[test]
    fn texts_are_decoded_where_something_else_is_wanted() {
        assert_eq!(coerce("array", json!("[1, 2]</parameter>")), json!([1, 2]));
        assert_eq!(coerce("object", json!(r#"{"a": 1}"#)), json!({"a": 1}));
        assert_eq!(coerce("integer", json!("7")), json!(7));
        assert_eq!(coerce("boolean", json!("True")), json!(true));
        assert_eq!(coerce("number", json!("2.5")), json!(2.5));
    }

    #[test]
    fn texts_stay_where_texts_are_wanted() {
        assert_eq!(coerce("string", json!("[1, 2]")), json!("[1, 2]"));
        assert_eq!(coerce("integer", json!("2.5")), json!("2.5"));
        assert_eq!(coerce("array", json!("no list")), json!("no list"));
    }

    #[test]
    fn pieces_of_text_are_joined() {
        assert_eq!(coerce("string", json!(["a\n", "b\n"])), json!("a\nb\n"));
        assert_eq!(coerce("string", json!(["a", 1])), json!(["a", 1]));
    }
}
