//! The arguments of a call of a server's tool: checked before the server sees them, and with the secrets that they name.

use serde_json::{Map, Value};

use crate::secrets::Secrets;

/// Whether what is required is there, and each value is of the kind that the schema names.
///
/// # Errors
/// Everything that is wrong, in words for the model.
pub fn check(arguments: &Map<String, Value>, schema: &Value) -> Result<(), String> {
    let mut problems = Vec::new();
    check_object(arguments, schema, "", &mut problems);
    if problems.is_empty() { Ok(()) } else { Err(problems.join("; ")) }
}

fn check_object(fields: &Map<String, Value>, schema: &Value, place: &str, problems: &mut Vec<String>) {
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
    for name in required.filter_map(Value::as_str).filter(|name| !fields.contains_key(*name)) {
        problems.push(format!("`{place}{name}` is required"));
    }
    for (name, value) in fields {
        if let Some(part) = schema.get("properties").and_then(|properties| properties.get(name)) {
            check_value(value, part, &format!("{place}{name}"), problems);
        }
    }
}

fn check_value(value: &Value, schema: &Value, place: &str, problems: &mut Vec<String>) {
    if let Some(kind) = schema.get("type").and_then(Value::as_str)
        && !is_of(value, kind)
    {
        return problems.push(format!("`{place}` must be of type {kind}"));
    }
    if let Some(choices) = schema.get("enum").and_then(Value::as_array)
        && !choices.contains(value)
    {
        let choices: Vec<String> = choices.iter().take(50).map(Value::to_string).collect();
        return problems.push(format!("`{place}` must be one of {}", choices.join(", ")));
    }
    match value {
        Value::Object(fields) => check_object(fields, schema, &format!("{place}."), problems),
        Value::Array(items) => {
            let Some(part) = schema.get("items") else { return };
            for (at, item) in items.iter().enumerate() {
                check_value(item, part, &format!("{place}[{at}]"), problems);
            }
        }
        _ => {}
    }
}

fn is_of(value: &Value, kind: &str) -> bool {
    match kind {
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => {
            value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0)
        }
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        // One that JSON schema does not have says nothing.
        _ => true,
    }
}

/// `value` with the secrets that its texts name: `$NAME`, `${NAME}`, or `${NAME:-otherwise}`. A name that no secret has stays as
/// it is.
pub async fn expand(value: &Value, secrets: &dyn Secrets) -> Value {
    let text = value.to_string();
    if !text.contains('$') {
        return value.clone();
    }
    let known = secrets.exports(&text).await;
    expanded(value, &known)
}

fn expanded(value: &Value, known: &[(String, String)]) -> Value {
    match value {
        Value::String(text) => Value::String(expanded_text(text, known)),
        Value::Array(items) => items.iter().map(|item| expanded(item, known)).collect(),
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(name, field)| (name.clone(), expanded(field, known))).collect())
        }
        other => other.clone(),
    }
}

fn expanded_text(text: &str, known: &[(String, String)]) -> String {
    let mut whole = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (before, reference) = rest.split_at(at);
        whole.push_str(before);
        let (name, otherwise, length) = read_reference(reference);
        let value = known.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        whole.push_str(value.or(otherwise).unwrap_or(&reference[..length]));
        rest = &reference[length..];
    }
    whole.push_str(rest);
    whole
}

/// The name behind a `$`, what counts where nothing has it, and how many bytes that is. No name: the sign alone.
fn read_reference(reference: &str) -> (&str, Option<&str>, usize) {
    let behind = &reference[1..];
    if let Some(braced) = behind.strip_prefix('{') {
        let Some(end) = braced.find('}') else { return ("", None, 1) };
        let inner = &braced[..end];
        let (name, otherwise) = match inner.split_once(":-") {
            Some((name, otherwise)) => (name, Some(otherwise)),
            None => (inner, None),
        };
        return if is_name(name) { (name, otherwise, end + 3) } else { ("", None, 1) };
    }
    let length = behind.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(behind.len());
    let name = &behind[..length];
    if is_name(name) { (name, None, length + 1) } else { ("", None, 1) }
}

fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.starts_with(|c: char| !c.is_ascii_digit()) && name.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn everything_that_does_not_fit_is_named_at_once() {
        let schema = json!({"required": ["a", "b"], "properties": {"a": {"type": "string"}, "n": {"type": "integer"},
            "c": {"enum": ["x", "y"]}, "list": {"items": {"type": "object", "required": ["z"]}}}});
        let wrong = json!({"a": 1, "n": 1.5, "c": "z", "list": [{}, {"z": 1}], "unknown": true});
        let said = check(wrong.as_object().unwrap(), &schema).unwrap_err();
        let all = [
            "`b` is required",
            "`a` must be of type string",
            "`n` must be of type integer",
            r#"`c` must be one of "x", "y""#,
            "`list[0].z` is required",
        ];
        assert!(all.iter().all(|problem| said.contains(problem)), "{said}");
        let right = json!({"a": "1", "b": null, "n": 2.0, "c": "y"});
        assert_eq!(check(right.as_object().unwrap(), &schema), Ok(()));
    }

    #[test]
    fn secrets_are_put_in_where_they_are_named_and_nothing_else_changes() {
        let known = [("TOKEN".to_owned(), "t".to_owned())];
        let expanded = |text: &str| expanded_text(text, &known);
        assert_eq!(expanded("Bearer $TOKEN, ${TOKEN} ${TOKEN:-x}"), "Bearer t, t t");
        assert_eq!(expanded("${NONE:-other} ${NONE} $NONE"), "other ${NONE} $NONE");
        assert_eq!(expanded("$ $5 ${ ${} $TOKENS é$"), "$ $5 ${ ${} $TOKENS é$");
    }
}
