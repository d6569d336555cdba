//! Reading the text of a call's arguments.

use serde_json::{Map, Value};

/// The arguments without nulls. What is JSON but no object counts as none at all.
///
/// # Errors
/// Why the text is not JSON.
pub fn parse(text: &str) -> Result<Map<String, Value>, String> {
    if text.trim().is_empty() {
        return Ok(Map::new());
    }
    let value = match serde_json::from_str(text) {
        Ok(value) => value,
        Err(first) => serde_json::from_str(&with_escaped_controls(text))
            .map_err(|_| format!("the arguments are not valid JSON ({first})"))?,
    };
    let Value::Object(mut arguments) = value else { return Ok(Map::new()) };
    arguments.retain(|_, value| !value.is_null());
    Ok(arguments)
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
    fn broken_text_is_an_error_with_its_place() {
        assert!(parse(r#"{"command": "ls"#).unwrap_err().contains("column"));
        assert!(parse(&"[".repeat(100_000)).is_err());
    }
}
