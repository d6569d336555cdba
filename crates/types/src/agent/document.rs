//! The agent object of a conversation, as a document: where its secrets, keys, models and nulls are.
//!
//! Clients send it in many shapes, and it is kept and given back whole. So nothing here reads it into types: it is walked,
//! and what has to be found is found by the names of fields, wherever they stand. Nobody else may know these names.
//!
//! | who sees it | what is done to it |
//! | --- | --- |
//! | the store | [`map_secrets`] seals every secret, and opens it again |
//! | a worker that holds no keys | [`leave_out_keys`] takes out what only model providers may see |
//! | clients, in answers | [`mask`], then [`clear_secret_fields`]: nulls are kept |
//! | clients, in snapshots and updates | [`mask`] and [`drop_nulls`] |

use serde_json::{Map, Value};

use crate::secrets::MASK;

/// Fields that hold a secret, wherever they stand in an agent object.
const SECRET_FIELDS: [&str; 4] =
    ["api_key", "aws_access_key_id", "aws_secret_access_key", "aws_session_token"];

/// Maps whose every value is a secret.
const SECRET_MAPS: [&str; 3] = ["env", "headers", "extra_headers"];

/// How an MCP server is signed in to, and the fields of it that hold a secret.
const AUTH: &str = "auth";
const AUTH_FIELDS: [&str; 5] = ["value", "password", "client_secret", "access_token", "refresh_token"];

/// What tools need, and the workers have to know.
const OF_TOOLS: &str = "mcp_config";

/// The named secrets in the agent's context.
const CONTEXT_SECRETS: &str = "/agent_context/secrets";

/// Calls `change` with every secret text below `value` and puts its answer in the place.
pub fn map_secrets(value: &mut Value, change: &mut dyn FnMut(&str) -> Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields.iter_mut() {
                match field {
                    Value::String(text) if SECRET_FIELDS.contains(&name.as_str()) => *field = change(text),
                    Value::Object(map) if SECRET_MAPS.contains(&name.as_str()) => map_values(map, change),
                    Value::Object(_) if name == AUTH => map_auth(field, change),
                    _ => map_secrets(field, change),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| map_secrets(item, change)),
        _ => {}
    }
}

fn map_auth(auth: &mut Value, change: &mut dyn FnMut(&str) -> Value) {
    let Some(fields) = auth.as_object_mut() else { return };
    for (name, field) in fields.iter_mut() {
        match field {
            Value::String(text) if AUTH_FIELDS.contains(&name.as_str()) => *field = change(text),
            Value::Object(map) if SECRET_MAPS.contains(&name.as_str()) => map_values(map, change),
            _ => map_auth(field, change),
        }
    }
}

fn map_values(map: &mut Map<String, Value>, change: &mut dyn FnMut(&str) -> Value) {
    for value in map.values_mut() {
        if let Value::String(text) = value {
            *value = change(text);
        }
    }
}

/// The mask in place of every secret that is set, also of those in the agent's context.
pub fn mask(agent: &mut Value) {
    map_secrets(agent, &mut |_| MASK.into());
    let secrets = agent.pointer_mut(CONTEXT_SECRETS).and_then(Value::as_object_mut);
    for secret in secrets.into_iter().flat_map(|secrets| secrets.values_mut()) {
        let value = if secret.is_string() { Some(secret) } else { secret.get_mut("value") };
        if let Some(value) = value.filter(|value| !value.is_null()) {
            *value = MASK.into();
        }
    }
}

/// Takes the named secrets out of the agent's context.
pub fn take_context_secrets(agent: &mut Value) -> Map<String, Value> {
    match agent.pointer_mut(CONTEXT_SECRETS).map(Value::take) {
        Some(Value::Object(secrets)) => secrets,
        _ => Map::new(),
    }
}

/// A secret field of its own becomes null; a value in a map of secrets keeps the mask, for clients want a
/// text there.
pub fn clear_secret_fields(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields.iter_mut() {
                if SECRET_FIELDS.contains(&name.as_str()) && field.is_string() {
                    *field = Value::Null;
                } else {
                    clear_secret_fields(field);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(clear_secret_fields),
        _ => {}
    }
}

/// Takes out all keys and headers that go to model providers: whoever gets the rest calls models through a
/// broker.
pub fn leave_out_keys(agent: &mut Value) {
    match agent {
        Value::Object(fields) => {
            fields.remove("extra_headers");
            for (name, field) in fields.iter_mut().filter(|(name, _)| *name != OF_TOOLS) {
                match field {
                    Value::String(_) if SECRET_FIELDS.contains(&name.as_str()) => *field = Value::Null,
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

/// Takes nulls out of objects at every depth: how snapshots and pages of events show things.
pub fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_secret_field_is_found_at_any_depth() {
        let mut agent = json!({"llm": {"model": "m", "api_key": "k1", "extra_headers": {"X-Key": "k2"}},
            "condenser": {"llm": {"api_key": "k3"}}, "mcp_config": {"a": {"env": {"T": "k4"}, "url": "u"}}});
        let mut seen = Vec::new();
        map_secrets(&mut agent, &mut |text| {
            seen.push(text.to_owned());
            MASK.into()
        });
        assert_eq!(seen, ["k1", "k2", "k3", "k4"]);
        assert_eq!(agent["mcp_config"], json!({"a": {"env": {"T": MASK}, "url": "u"}}));
        assert_eq!(agent["llm"]["model"], "m");
    }

    #[test]
    fn how_a_server_is_signed_in_to_is_secret_in_every_way() {
        let mut agent = json!({"mcp_config": {"a": {"auth": {"strategy": "bearer", "value": "k1"}}, "b": {"auth": {
            "strategy": "oauth2", "authentication": {"client_id": "i", "client_secret": "k2"},
            "state": {"tokens": {"access_token": "k3", "refresh_token": "k4"}}}},
            "c": {"auth": {"headers": {"X": "k5"}}}, "d": {"auth": {"username": "u", "password": "k6"}}}});
        mask(&mut agent);
        let shown = agent.to_string();
        assert!((1..7).all(|number| !shown.contains(&format!("k{number}"))), "{shown}");
        assert!(["bearer", "\"i\"", "\"u\""].iter().all(|kept| shown.contains(kept)), "{shown}");
    }

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

    #[test]
    fn the_secrets_of_the_context_are_masked_and_can_be_taken_out() {
        let mut agent =
            json!({"agent_context": {"secrets": {"A": "v", "B": {"value": "w"}, "C": {"value": null}}}});
        mask(&mut agent);
        let masked = json!({"A": MASK, "B": {"value": MASK}, "C": {"value": null}});
        assert_eq!(agent["agent_context"]["secrets"], masked);
        assert_eq!(Value::Object(take_context_secrets(&mut agent)), masked);
        assert!(take_context_secrets(&mut agent).is_empty());
    }
}
