//! Tools of an agent that are not there here: an agent that names one could not be opened.

use serde_json::Value;
use tools::Catalogue;
use types::brought::Brought;

/// Takes them out of the agent, for the way out. Answers what they are called.
pub fn leave_out(agent: &mut Value, brought: &mut Brought) -> Vec<String> {
    let catalogue = Catalogue::standard();
    let mut names = Vec::new();
    let mut split = |list: &str, left_out: &mut Vec<Value>| {
        let Some(tools) = agent.get_mut(list).and_then(Value::as_array_mut) else { return };
        let (known, unknown): (Vec<Value>, Vec<Value>) =
            tools.drain(..).partition(|tool| name_of(tool).is_none_or(|name| catalogue.has(name)));
        names.extend(unknown.iter().filter_map(name_of).map(str::to_owned));
        (*tools, *left_out) = (known, unknown);
    };
    split("tools", &mut brought.tools);
    split("include_default_tools", &mut brought.built_in_tools);
    names
}

/// A built-in tool is named by its class alone.
fn name_of(tool: &Value) -> Option<&str> {
    tool.as_str().or_else(|| tool.get("name").and_then(Value::as_str))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_agent_keeps_the_tools_that_there_are() {
        let mut agent = json!({"tools": [{"name": "terminal", "params": {}}, {"name": "of_the_future", "params": {"a": 1}}],
            "include_default_tools": ["FinishTool", "OfTheFutureTool"]});
        let mut brought = Brought::default();
        assert_eq!(leave_out(&mut agent, &mut brought), ["of_the_future", "OfTheFutureTool"]);
        let kept =
            json!({"tools": [{"name": "terminal", "params": {}}], "include_default_tools": ["FinishTool"]});
        assert_eq!(agent, kept);
        assert_eq!(brought.tools, [json!({"name": "of_the_future", "params": {"a": 1}})]);
        assert_eq!(brought.built_in_tools, [json!("OfTheFutureTool")]);
        assert_eq!(leave_out(&mut json!({}), &mut brought), [""; 0]);
    }
}
