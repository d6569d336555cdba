//! From a tool call as the model wrote it to an action, forgiving what can be understood.

mod alias;
mod arguments;
mod coerce;
mod file_editor;

use serde_json::{Map, Value, json};
use types::content::ToolCall;
use types::event::Risk;
use types::tool::{Parsed, ToolDefinition, Toolbox};

use crate::{bounds, pyjson};

/// Longest default summary, in characters: it repeats the arguments.
const LONGEST_SUMMARY: usize = 10_000;

/// Ways in which models misspell `security_risk`.
const MISSPELT_RISK: [&str; 3] = ["security_rort", "securtiy_risk", "security_riks"];

/// A call made presentable: its event can be written whatever became of it.
#[derive(Debug)]
pub struct Converted {
    pub tool: String,
    pub call: ToolCall,
    /// The action, or what is wrong with the call.
    pub outcome: Result<Valid, String>,
}

#[derive(Debug)]
pub struct Valid {
    pub parsed: Parsed,
    pub risk: Risk,
    pub summary: String,
}

pub struct Converter<'a> {
    pub toolbox: &'a dyn Toolbox,
    /// Whether the model's own estimate of the risk is kept.
    pub keeps_risk: bool,
}

impl Converter<'_> {
    pub fn convert(&self, call: &ToolCall) -> Converted {
        let converted = self.understood(call);
        let made = converted.outcome.as_ref().ok().map(|valid| (&valid.parsed.described, &valid.summary));
        match bounds::too_long(&converted.tool, &call.arguments, made.as_ref()) {
            Some(error) => unkept(call, converted.tool, error),
            None => converted,
        }
    }

    fn understood(&self, call: &ToolCall) -> Converted {
        let arguments = match arguments::parse(&call.arguments) {
            Ok(arguments) => arguments,
            Err(reason) => return unparseable(call, &reason),
        };
        let mut arguments = spelt_right(arguments);
        let Some(tool) = alias::resolve(self.toolbox, &call.name, &mut arguments) else {
            return self.unknown(call, &arguments);
        };
        coerce::to_schema(&mut arguments, &tool.parameters);
        let written = pyjson::text(&arguments);
        let outcome = self.validate(tool, arguments);
        Converted { tool: tool.name.clone(), call: rewritten(call, tool.name.clone(), written), outcome }
    }

    fn validate(&self, tool: &ToolDefinition, mut arguments: Map<String, Value>) -> Result<Valid, String> {
        let given = python_list(arguments.keys());
        let invalid = |reason: String| {
            format!("Error validating tool '{}': {reason}. Parameters provided: {given}", tool.name)
        };
        let risk = taken(&mut arguments, "security_risk", tool);
        let summary = taken(&mut arguments, "summary", tool);
        if tool.name == "file_editor" {
            file_editor::guess_command(&mut arguments).map_err(invalid)?;
        }
        let risk = if self.keeps_risk && !tool.read_only {
            read_risk(risk).map_err(invalid)?
        } else {
            Risk::Unknown
        };
        let summary = match summary {
            Some(Value::String(text)) if !text.trim().is_empty() => text,
            _ => default_summary(&tool.name, &arguments),
        };
        let parsed = self
            .toolbox
            .parse(&tool.name, &arguments)
            .map_err(|reason| invalid(reason.trim_end_matches('.').to_owned()))?;
        Ok(Valid { parsed, risk, summary })
    }

    fn unknown(&self, call: &ToolCall, arguments: &Map<String, Value>) -> Converted {
        let name = presentable(&call.name);
        let available = python_list(self.toolbox.definitions().iter().map(|tool| &tool.name));
        let error = format!("Tool '{name}' not found. Available: {available}");
        let call = rewritten(call, name.clone(), pyjson::text(arguments));
        Converted { tool: name, call, outcome: Err(error) }
    }
}

/// An argument of ours. Where the tool has one of that name, it is the tool's, too.
fn taken(arguments: &mut Map<String, Value>, name: &str, tool: &ToolDefinition) -> Option<Value> {
    let is_its_own =
        tool.parameters.get("properties").is_some_and(|properties| properties.get(name).is_some());
    if is_its_own { arguments.get(name).cloned() } else { arguments.shift_remove(name) }
}

fn unparseable(call: &ToolCall, reason: &str) -> Converted {
    let name = presentable(&call.name);
    let error = format!("Error validating tool '{name}': {reason}. Arguments: unparseable JSON");
    unkept(call, name, error)
}

/// A call without its arguments. Those that are stored must be JSON, or the provider refuses the history.
fn unkept(call: &ToolCall, name: String, error: String) -> Converted {
    let stored = Map::from_iter([
        ("_openhands_malformed_tool_call".to_owned(), json!(true)),
        ("error".to_owned(), json!(error)),
    ]);
    let call = rewritten(call, name.clone(), pyjson::text(&stored));
    Converted { tool: name, call, outcome: Err(error) }
}

fn rewritten(call: &ToolCall, name: String, arguments: String) -> ToolCall {
    ToolCall { id: call.id.clone(), name, arguments, origin: call.origin.clone() }
}

fn spelt_right(mut arguments: Map<String, Value>) -> Map<String, Value> {
    for misspelt in MISSPELT_RISK {
        if let Some(risk) = arguments.shift_remove(misspelt) {
            arguments.entry("security_risk").or_insert(risk);
        }
    }
    arguments
}

fn read_risk(risk: Option<Value>) -> Result<Risk, String> {
    let Some(risk) = risk else { return Ok(Risk::Unknown) };
    let name = risk.as_str().unwrap_or_default().trim().to_ascii_uppercase();
    serde_json::from_value(Value::String(name))
        .map_err(|_| "security_risk must be one of UNKNOWN, LOW, MEDIUM, HIGH".to_owned())
}

fn default_summary(tool: &str, arguments: &Map<String, Value>) -> String {
    let mut summary = format!("{tool}: {}", pyjson::text(arguments));
    // The text is ASCII but for the tool's name, which is short.
    if summary.len() > LONGEST_SUMMARY && summary.is_char_boundary(LONGEST_SUMMARY) {
        summary.truncate(LONGEST_SUMMARY);
        summary.push_str("...");
    }
    summary
}

/// A tool name that every provider takes back in the history.
fn presentable(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '_' };
    let name: String = name.chars().take(64).map(plain).collect();
    if name.is_empty() { "unknown".to_owned() } else { name }
}

/// `['a', 'b']`
fn python_list<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let quoted: Vec<String> = names.map(|name| format!("'{name}'")).collect();
    format!("[{}]", quoted.join(", "))
}

#[cfg(test)]
mod tests;
