//! The tools as the model is told about them: two more parameters in front.

use std::sync::Arc;

use serde_json::{Map, Value, json};
use types::model::ToolSchema;
use types::tool::ToolDefinition;

const RISK: &str = "How much harm this call could do. LOW: it only reads, or changes files of the task at hand. \
MEDIUM: it changes things beyond the task but inside this environment. HIGH: it may lose data, reach other \
systems or give away secrets. UNKNOWN: you cannot tell.";

const SUMMARY: &str = "What this call is for, in about ten words.";

/// The schemas of all `tools`, made once per conversation.
pub fn offered(tools: &[ToolDefinition]) -> Arc<[ToolSchema]> {
    tools.iter().map(schema).collect()
}

fn schema(tool: &ToolDefinition) -> ToolSchema {
    let mut parameters = tool.parameters.clone();
    if let Some(fields) = parameters.as_object_mut() {
        let own = fields.get_mut("properties").and_then(Value::as_object_mut).map(std::mem::take);
        fields.insert("properties".to_owned(), Value::Object(with_ours_first(tool, own.unwrap_or_default())));
    }
    ToolSchema { name: tool.name.clone(), description: tool.description.clone(), parameters }
}

fn with_ours_first(tool: &ToolDefinition, own: Map<String, Value>) -> Map<String, Value> {
    let mut properties = Map::new();
    if !tool.read_only {
        let risk =
            json!({"type": "string", "description": RISK, "enum": ["UNKNOWN", "LOW", "MEDIUM", "HIGH"]});
        properties.insert("security_risk".to_owned(), risk);
    }
    properties.insert("summary".to_owned(), json!({"type": "string", "description": SUMMARY}));
    properties.extend(own);
    properties
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(read_only: bool) -> ToolDefinition {
        ToolDefinition {
            name: "t".to_owned(),
            description: "d".to_owned(),
            parameters: json!({"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]}),
            announced: Value::Null,
            read_only,
        }
    }

    fn names(read_only: bool) -> Vec<String> {
        let schemas = offered(&[tool(read_only)]);
        schemas[0].parameters["properties"].as_object().unwrap().keys().cloned().collect()
    }

    #[test]
    fn risk_and_summary_come_first_and_are_optional() {
        assert_eq!(names(false), ["security_risk", "summary", "command"]);
        assert_eq!(names(true), ["summary", "command"]);
        assert_eq!(offered(&[tool(false)])[0].parameters["required"], json!(["command"]));
    }
}
