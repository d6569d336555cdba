//! Texts, and values of which there are a few.

use serde_json::Value;

use crate::rule::Text;
use crate::trouble::Fault;

pub(crate) fn text(given: Value, rule: &Text) -> Result<Value, Fault> {
    let Value::String(text) = given else { return Err(Fault::wanted("string_type", "string")) };
    let length = text.chars().count();
    if let Some(least) = rule.least.filter(|&least| length < least) {
        let says = format!("String should have at least {}", counted(least, "character"));
        return Err(Fault::bounded("string_too_short", says, "min_length", least));
    }
    if let Some(most) = rule.most.filter(|&most| length > most) {
        let says = format!("String should have at most {}", counted(most, "character"));
        return Err(Fault::bounded("string_too_long", says, "max_length", most));
    }
    if let Some(pattern) = rule.pattern.as_ref().filter(|pattern| !pattern.is_match(&text)) {
        let says = format!("String should match pattern '{pattern}'");
        return Err(Fault::bounded("string_pattern_mismatch", says, "pattern", pattern.as_str()));
    }
    if rule.is_uuid {
        let id = uuid::Uuid::parse_str(&text).map_err(|_| Fault::wanted("uuid_parsing", "UUID"))?;
        return Ok(id.to_string().into());
    }
    Ok(text.into())
}

pub(crate) fn choice(given: Value, values: &[Value]) -> Result<Value, Fault> {
    if values.contains(&given) {
        return Ok(given);
    }
    let expected = listed(values);
    Err(Fault::bounded("literal_error", format!("Input should be {expected}"), "expected", expected))
}

pub(crate) fn counted(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// `'a', 'b' or 'c'`
fn listed(values: &[Value]) -> String {
    let words: Vec<String> = values.iter().map(word).collect();
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => words.concat(),
    }
}

fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), |text| format!("'{text}'"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_length_counts_characters_and_not_bytes() {
        let rule = Text { least: Some(1), most: Some(2), ..Text::default() };
        assert!(text(json!("äö"), &rule).is_ok());
        let Err(short) = text(json!(""), &rule) else { panic!("an empty text has one character") };
        assert_eq!(short.says, "String should have at least 1 character");
        let Err(long) = text(json!("äöü"), &rule) else { panic!("three characters are two") };
        assert_eq!((long.kind, long.bounds), ("string_too_long", Some(json!({"max_length": 2}))));
    }

    #[test]
    fn an_id_has_one_spelling() {
        let rule = Text { is_uuid: true, ..Text::default() };
        let id = text(json!("00000000000040008000AAAAAAAAAAAA"), &rule);
        assert_eq!(id.ok(), Some(json!("00000000-0000-4000-8000-aaaaaaaaaaaa")));
        assert!(text(json!("7"), &rule).is_err());
    }

    #[test]
    fn a_choice_is_told_with_all_there_is_to_choose() {
        let Err(fault) = choice(json!("d"), &[json!("a"), json!("b"), json!("c")]) else {
            panic!("d was taken")
        };
        assert_eq!(fault.says, "Input should be 'a', 'b' or 'c'");
    }
}
