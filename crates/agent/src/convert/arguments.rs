//! Reading the text of a call's arguments.

use serde_json::{Map, Value};

/// The arguments without nulls. What is JSON but no object counts as none at all.
///
/// # Errors
/// Why the text is not JSON.
pub fn parse(text: &str) -> Result<Map<String, Value>, String> {
    let text = unfenced(text.trim());
    if text.is_empty() {
        return Ok(Map::new());
    }
    let value = match serde_json::from_str(text) {
        Ok(value) => value,
        Err(first) => the_only_one(text)
            .or_else(|| the_only_one(&mended(text)))
            .ok_or_else(|| format!("the arguments are not valid JSON ({first})"))?,
    };
    let mut arguments = match value {
        Value::Object(arguments) => arguments,
        // An object that was written as a text.
        Value::String(text) => serde_json::from_str(&text).unwrap_or_default(),
        _ => Map::new(),
    };
    arguments.retain(|_, value| !value.is_null());
    Ok(arguments)
}

/// Without the marks of a block of code around it.
fn unfenced(text: &str) -> &str {
    let within = text.strip_prefix("```").and_then(|text| text.strip_suffix("```"));
    let Some(within) = within else { return text };
    within.trim_start_matches(|letter: char| letter.is_ascii_alphanumeric()).trim()
}

/// The value of a text that says it once or more, or empty objects beside it. What says several things is not guessed at.
fn the_only_one(text: &str) -> Option<Value> {
    let mut values = Vec::new();
    for value in serde_json::Deserializer::from_str(text).into_iter::<Value>() {
        values.push(value.ok()?);
    }
    let is_empty = |value: &Value| value.as_object().is_some_and(Map::is_empty);
    let mut distinct = values.iter().filter(|value| !is_empty(value));
    let first = distinct.next().or(values.first())?;
    distinct.all(|other| other == first).then(|| first.clone())
}

/// What is not JSON, but nearly.
fn mended(text: &str) -> String {
    without_trailing_commas(&with_escaped_controls(text))
}

/// Without commas that nothing follows. The text has no raw control characters in strings.
fn without_trailing_commas(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let (mut in_string, mut escaped) = (false, false);
    for (at, c) in text.char_indices() {
        let next = || text.get(at + 1..).unwrap_or_default().trim_start().chars().next();
        if c == ',' && !in_string && matches!(next(), Some('}' | ']')) {
            continue;
        }
        if c == '"' && !escaped {
            in_string = !in_string;
        }
        escaped = in_string && c == '\\' && !escaped;
        kept.push(c);
    }
    kept
}

/// Raw line breaks and other control characters inside of strings, escaped.
fn with_escaped_controls(text: &str) -> String {
    let mut fixed = String::with_capacity(text.len() + 16);
    let (mut in_string, mut escaped) = (false, false);
    for c in text.chars() {
        if in_string && c.is_ascii_control() && c != '\u{7f}' {
            fixed.push_str(&format!("\\u{:04x}", c as u32));
            escaped = false;
            continue;
        }
        if c == '"' && !escaped {
            in_string = !in_string;
        }
        escaped = in_string && c == '\\' && !escaped;
        fixed.push(c);
    }
    fixed
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn raw_control_characters_in_strings_are_forgiven() {
        let arguments = parse("{\n\"command\": \"echo \\\"a\\\"\n\techo b\"}").unwrap();
        assert_eq!(arguments["command"], json!("echo \"a\"\n\techo b"));
    }

    #[test]
    fn nulls_and_other_things_than_objects_are_dropped() {
        assert_eq!(parse(r#"{"a": null, "b": 1}"#).unwrap(), *json!({"b": 1}).as_object().unwrap());
        assert!(parse("[1]").unwrap().is_empty());
        assert!(parse(" ").unwrap().is_empty());
    }

    #[test]
    fn fences_doubles_and_trailing_commas_are_forgiven() {
        for text in [
            "```json\n{\"a\": 1}\n```",
            "```{\"a\": 1}```",
            "{}{\"a\": 1}",
            "{\"a\": 1}{\"a\": 1}",
            "{\"a\": 1,}",
            "{\"a\": 1 , \n}",
            "\"{\\\"a\\\": 1}\"",
        ] {
            assert_eq!(parse(text).unwrap(), *json!({"a": 1}).as_object().unwrap(), "{text}");
        }
        let text = "{\"a\": \"x,}\\\",]\", \"b\": [1,],}";
        assert_eq!(parse(text).unwrap(), *json!({"a": "x,}\",]", "b": [1]}).as_object().unwrap());
        assert!(parse("{\"a\": 1}{\"a\": 2}").is_err(), "nobody knows which is meant");
        assert!(parse("{\"a\": 1} or so").is_err());
    }

    #[test]
    fn broken_text_is_an_error_with_its_place() {
        assert!(parse(r#"{"command": "ls"#).unwrap_err().contains("column"));
        assert!(parse(&"[".repeat(100_000)).is_err());
    }
}
