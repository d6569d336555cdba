//! One call: its arguments as text, and back.

use serde_json::{Map, Value};
use types::model::ToolSchema;

use super::{CALL, CALL_END, PARAMETER, PARAMETER_END};

/// `arguments` are what a model has written: an object, mostly.
pub(super) fn written(name: &str, arguments: &str) -> String {
    let mut text = format!("{CALL}{name}>\n");
    match serde_json::from_str::<Map<String, Value>>(arguments) {
        Ok(object) => object.iter().for_each(|(key, value)| {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let around = if value.contains('\n') { "\n" } else { "" };
            text.push_str(&format!("{PARAMETER}{key}>{around}{value}{around}{PARAMETER_END}\n"));
        }),
        Err(_) => text.push_str(&format!("{}\n", arguments.trim())),
    }
    text + CALL_END
}

/// The arguments in the body of a call, as an object. Values are of the types that the tool wants.
pub(super) fn arguments(body: &str, tool: Option<&ToolSchema>) -> String {
    let mut object = Map::new();
    let mut rest = body;
    while let Some((_, behind)) = rest.split_once(PARAMETER) {
        let Some((key, behind)) = behind.split_once('>') else { break };
        let end = end_of(behind);
        let value = behind.get(..end).unwrap_or_default();
        rest = behind.get(end..).unwrap_or_default();
        object.insert(key.trim().to_owned(), typed(bare(value), kind_of(tool, key.trim())));
    }
    let is_json = object.is_empty() && body.trim().starts_with('{');
    if is_json { body.trim().to_owned() } else { Value::Object(object).to_string() }
}

/// Where a value ends: at the end of its tag, behind which comes another parameter or nothing. A file that is written may hold
/// such a tag, too.
fn end_of(text: &str) -> usize {
    let ends = text.match_indices(PARAMETER_END).map(|(at, _)| at);
    let is_last = |at: &usize| {
        let behind = text.get(at + PARAMETER_END.len()..).unwrap_or_default().trim_start();
        behind.is_empty() || behind.starts_with(PARAMETER) || behind.starts_with(CALL_END)
    };
    let next = text.find(PARAMETER).unwrap_or(text.len());
    ends.clone().find(is_last).or_else(|| ends.clone().next()).unwrap_or(next)
}

/// Without the newline that stands around values of several lines.
fn bare(value: &str) -> &str {
    let value = value.strip_prefix("\r\n").or_else(|| value.strip_prefix('\n')).unwrap_or(value);
    value.strip_suffix("\r\n").or_else(|| value.strip_suffix('\n')).unwrap_or(value)
}

fn kind_of<'a>(tool: Option<&'a ToolSchema>, key: &str) -> Option<&'a str> {
    tool?.parameters.get("properties")?.get(key)?.get("type")?.as_str()
}

/// A value that is not what it should be stays a text: whoever reads the arguments says what is wrong.
fn typed(value: &str, kind: Option<&str>) -> Value {
    let text = || Value::String(value.to_owned());
    match kind {
        Some("boolean") => match value.trim().to_ascii_lowercase().as_str() {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ => text(),
        },
        Some("integer" | "number" | "array" | "object" | "null") => {
            serde_json::from_str(value.trim()).unwrap_or_else(|_| text())
        }
        _ => text(),
    }
}
