//! Where an agent object keeps what only model providers may see.

use serde_json::Value;
use types::secrets::is_secret_field;

/// What tools need, and the workers have to know.
const OF_TOOLS: &str = "mcp_config";

/// Takes out all keys and headers that go to model providers: whoever gets the rest calls models through a
/// broker.
pub fn leave_out_keys(agent: &mut Value) {
    match agent {
        Value::Object(fields) => {
            fields.remove("extra_headers");
            for (name, field) in fields.iter_mut().filter(|(name, _)| *name != OF_TOOLS) {
                match field {
                    Value::String(_) if is_secret_field(name) => *field = Value::Null,
                    Value::String(url) if name == "base_url" => *url = without_user(url),
                    _ => leave_out_keys(field),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(leave_out_keys),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Calls `visit` with every model configuration of an agent object.
pub fn each_llm(agent: &Value, visit: &mut dyn FnMut(&Value)) {
    match agent {
        Value::Object(fields) => {
            for (name, field) in fields.iter().filter(|(name, _)| *name != OF_TOOLS) {
                if name == "llm" {
                    visit(field);
                }
                each_llm(field, visit);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| each_llm(item, visit)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// `https://user:password@host/…` without what is before the `@`.
fn without_user(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    match authority.rfind('@').and_then(|at| rest.get(at + 1..)) {
        Some(bare) => format!("{scheme}://{bare}"),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_of_models_are_left_out_and_those_of_tools_stay() {
        let mut agent = json!({
            "llm": {"model": "m", "api_key": "k1", "extra_headers": {"X": "k2"}, "base_url": "https://u:k3@h/v1?a=@"},
            "condenser": {"condensers": [{"llm": {"aws_secret_access_key": "k4"}}]},
            "critic": {"api_key": "k5"},
            "mcp_config": {"s": {"env": {"TOKEN": "t"}, "headers": {"A": "t"}}},
        });
        leave_out_keys(&mut agent);
        assert_eq!(
            agent,
            json!({
                "llm": {"model": "m", "api_key": null, "base_url": "https://h/v1?a=@"},
                "condenser": {"condensers": [{"llm": {"aws_secret_access_key": null}}]},
                "critic": {"api_key": null},
                "mcp_config": {"s": {"env": {"TOKEN": "t"}, "headers": {"A": "t"}}},
            })
        );
    }

    #[test]
    fn every_model_of_an_agent_is_visited() {
        let agent = json!({"llm": {"model": "a"}, "condenser": {"condensers": [{"llm": {"model": "b"}}]}});
        let mut seen = Vec::new();
        each_llm(&agent, &mut |llm| seen.push(llm["model"].clone()));
        seen.sort_by_key(Value::to_string);
        assert_eq!(seen, ["a", "b"]);
    }
}
