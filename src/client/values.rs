//! Reading JSON that somebody else has written: what is not there is empty.

use serde_json::Value;

/// The text at a JSON pointer.
pub fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The list at a JSON pointer.
pub fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The texts among the items of a message's content.
pub fn joined(value: &Value, pointer: &str) -> String {
    let texts = list(value, pointer).iter().filter_map(|item| item.get("text").and_then(Value::as_str));
    texts.collect::<Vec<_>>().join("\n")
}

/// At most so many characters, with a mark where there were more.
pub fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_not_there_is_empty() {
        let event = json!({"content": [{"text": "a"}, {"image_urls": []}, {"text": "b"}]});
        assert_eq!((text(&event, "/kind"), list(&event, "/x").len()), ("", 0));
        assert_eq!(joined(&event, "/content"), "a\nb");
        assert_eq!((cut("äöü", 2).as_str(), cut("äöü", 3).as_str()), ("äö…", "äöü"));
    }
}
