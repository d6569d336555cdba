//! Words for deserialization failures. The deserializer's own text quotes the offending value, which may be a
//! secret, so only its parts that come from our code are used.

use serde_json::Value;
use serde_path_to_error::{Path, Segment};

use super::{lax, object};
use crate::error::Problem;

/// What is wrong at `path` below `root`, given the deserializer's `message`.
pub(super) fn problem(root: &str, path: &Path, message: &str) -> Problem {
    let mut loc = vec![Value::from(root)];
    loc.extend(path.iter().filter_map(step));
    let (kind, msg) = words(message);
    if let Some(field) = quoted_after(message, "missing field `").or(quoted_after(message, "unknown field `"))
        && loc.last().and_then(Value::as_str) != Some(field)
    {
        loc.push(field.into());
    }
    let input = (kind == "missing" && root == "query").then_some(Value::Null);
    Problem { kind, loc, msg, input, ctx: None }
}

fn step(segment: &Segment) -> Option<Value> {
    match segment {
        Segment::Seq { index } => Some((*index).into()),
        Segment::Map { key } => Some(key.as_str().into()),
        Segment::Enum { variant } => Some(variant.as_str().into()),
        Segment::Unknown => None,
    }
}

fn quoted_after<'a>(message: &'a str, prefix: &str) -> Option<&'a str> {
    message.strip_prefix(prefix)?.split_once('`').map(|(field, _)| field)
}

fn words(message: &str) -> (&'static str, String) {
    if message.starts_with("missing field") {
        return ("missing", "Field required".to_owned());
    }
    if message.starts_with("unknown field") {
        return ("extra_forbidden", "Extra inputs are not permitted".to_owned());
    }
    if message.starts_with("duplicate field") {
        return ("value_error", "Value error, the field is given more than once".to_owned());
    }
    if message.contains("invalid digit found in string") || message.contains("cannot parse integer") {
        let text = "Input should be a valid integer, unable to parse string as an integer";
        return ("int_parsing", text.to_owned());
    }
    if message.contains(lax::FRACTION) {
        let text = "Input should be a valid integer, got a number with a fractional part";
        return ("int_from_float", text.to_owned());
    }
    if message.contains("was not `true` or `false`") {
        let text = "Input should be a valid boolean, unable to interpret input";
        return ("bool_parsing", text.to_owned());
    }
    if message.contains("UUID parsing failed") {
        return ("uuid_parsing", "Input should be a valid UUID".to_owned());
    }
    let Some(expected) = expected(message) else {
        return ("value_error", "Value error, the value is not allowed here".to_owned());
    };
    if message.starts_with("unknown variant") {
        return ("literal_error", format!("Input should be {}", expected.replace('`', "'")));
    }
    by_expected_type(expected)
}

/// What our side wanted: the last part of the message, after anything the client sent.
fn expected(message: &str) -> Option<&str> {
    let (_, expected) = message.rsplit_once(", expected ")?;
    Some(expected.split_once(" at line ").map_or(expected, |(text, _)| text))
}

fn by_expected_type(expected: &str) -> (&'static str, String) {
    let (kind, noun) = match expected {
        "a string" | "string" | "str" => ("string_type", "string"),
        "a boolean" => ("bool_type", "boolean"),
        "a sequence" => ("list_type", "list"),
        "a map" => ("dict_type", "dictionary"),
        "f32" | "f64" => ("float_type", "number"),
        "a formatted UUID string" => return ("uuid_parsing", "Input should be a valid UUID".to_owned()),
        other if is_integer(other) => ("int_type", "integer"),
        other if is_object(other) => {
            let text = "Input should be a valid dictionary or object to extract fields from";
            return ("model_attributes_type", text.to_owned());
        }
        other => return ("value_error", format!("Value error, expected {other}")),
    };
    (kind, format!("Input should be a valid {noun}"))
}

fn is_object(name: &str) -> bool {
    name == object::EXPECTED || name.starts_with("struct ") || name.starts_with("internally tagged enum ")
}

fn is_integer(name: &str) -> bool {
    matches!(name, "u8" | "u16" | "u32" | "u64" | "usize" | "i8" | "i16" | "i32" | "i64" | "isize")
        || name.starts_with("a nonzero ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_never_part_of_the_words() {
        for message in [
            "invalid type: string \"sk-1\", expected u64 at line 1 column 9",
            "invalid value: string \"sk-1, expected sk-1\", expected a boolean",
            "unknown variant `sk-1`, expected `a` or `b`",
            "sk-1 is not good",
            "UUID parsing failed: invalid character: found `sk-1` at 0",
        ] {
            let (_, text) = words(message);
            assert!(!text.contains("sk-1"), "{text}");
        }
    }

    #[test]
    fn the_words_name_what_was_expected() {
        assert_eq!(words("invalid type: integer `1`, expected a string at line 1 column 2").0, "string_type");
        assert_eq!(
            words("unknown variant `x`, expected `A` or `B` at line 1 column 2"),
            ("literal_error", "Input should be 'A' or 'B'".to_owned())
        );
    }
}
