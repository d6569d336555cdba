//! Where the agent of a new conversation comes from.

use std::collections::{BTreeMap, HashSet};

use control::launch::{BROWSER, is_same_tool};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use types::agent::AgentConfig;
use types::agent::document::take_context_secrets;
use types::secrets::SecretSource;
use uuid::Uuid;

use super::secrets::sources;
use crate::error::{ApiError, ApiResult, Problem};
use crate::offer::{BUILT_IN_TOOLS, Offer};

/// What a client may add to an agent it names.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Additions {
    #[serde(default)]
    system_message_suffix_append: Option<String>,
    #[serde(default)]
    skills: Option<Vec<Value>>,
    /// Only beside an agent profile: the model profile in place of the one that it names.
    #[serde(default)]
    pub(super) llm_profile_ref: Option<String>,
}

const MAX_SUFFIX_CHARS: usize = 32_768;

/// The agent object of a creation, secrets in plain text, from the one source that is given. An agent profile has become settings
/// before; one that is still there was named beside another source.
pub(super) fn agent_object(
    offer: &Offer,
    agent: Option<Value>,
    settings: Option<Value>,
    profile: Option<Uuid>,
) -> ApiResult<Value> {
    match (agent, settings, profile) {
        (_, _, Some(_)) => {
            let msg = "Value error, agent_profile_id cannot be combined with agent or agent_settings";
            Err(Problem::new("value_error", &["body"], msg).into())
        }
        (Some(agent), _, None) => object("agent", agent).map(Value::Object),
        (None, Some(settings), None) => from_settings(offer, object("agent_settings", settings)?),
        (None, None, None) => {
            let msg = "Value error, one of agent, agent_settings and agent_profile_id is required";
            Err(Problem::new("value_error", &["body"], msg).into())
        }
    }
}

/// A field of the body that has to be an object.
fn object(field: &str, value: Value) -> ApiResult<Map<String, Value>> {
    match value {
        Value::Object(fields) => Ok(fields),
        _ => Err(Problem::object_needed(&["body", field]).into()),
    }
}

/// The parts of an agent that are objects of their own, where they are given.
fn check_parts(agent: &Value) -> ApiResult<()> {
    for part in ["llm", "condenser", "agent_context", "critic"] {
        if agent.get(part).is_some_and(|value| !value.is_null() && !value.is_object()) {
            return Err(Problem::object_needed(&["body", "agent", part]).into());
        }
    }
    Ok(())
}

/// Puts in defaults and refuses what this server could not run later.
pub(super) fn complete(offer: &Offer, mut agent: Value) -> ApiResult<Value> {
    check_parts(&agent)?;
    let problem = |loc: &[&str], msg: &str| Problem::new("value_error", loc, format!("Value error, {msg}"));
    if agent.get("llm").is_some_and(|llm| !llm.get("model").is_some_and(Value::is_string)) {
        return Err(problem(&["body", "agent", "llm"], "model must be specified in LLM").into());
    }
    if let Some(fields) = agent.as_object_mut() {
        fields.retain(|name, value| name != "kind" || !value.is_null());
    }
    let mut config = AgentConfig::from_client(agent).map_err(|why| problem(&["body", "agent"], &why))?;
    leave_out_missing_browser(offer, &mut config);
    let wanted = config.tools.iter().map(|tool| tool.name.as_str());
    let offered = offer.tools.iter().map(|tool| tool.name.as_str());
    check_names(wanted, offered.chain(BUILT_IN_TOOLS), &["body", "agent", "tools"])?;
    let built_in = config.include_default_tools.iter().map(String::as_str);
    check_names(built_in, BUILT_IN_TOOLS.into_iter(), &["body", "agent", "include_default_tools"])?;
    Ok(serde_json::to_value(config)?)
}

/// Agent Canvas asks for the browser before it has asked which tools there are; and where there is none the peer leaves it out of
/// what it launches, too. The conversation tells which tools it has.
fn leave_out_missing_browser(offer: &Offer, config: &mut AgentConfig) {
    let has_browser = offer.tools.iter().any(|tool| is_same_tool(&tool.name, BROWSER));
    config.tools.retain(|tool| has_browser || !is_same_tool(&tool.name, BROWSER));
}

fn check_names<'a>(
    wanted: impl Iterator<Item = &'a str>,
    offered: impl Iterator<Item = &'a str> + Clone,
    loc: &[&str],
) -> ApiResult<()> {
    for name in wanted {
        if offered.clone().any(|known| is_same_tool(known, name)) {
            continue;
        }
        let known = offered.collect::<Vec<_>>().join(", ");
        let msg = format!("Value error, this server has no such tool; it has: {known}");
        return Err(Problem::new("value_error", loc, msg).into());
    }
    Ok(())
}

/// The agent that a settings object describes.
fn from_settings(offer: &Offer, mut settings: Map<String, Value>) -> ApiResult<Value> {
    let problem = |field: &str, msg: &str| {
        ApiError::from(Problem::new(
            "value_error",
            &["body", "agent_settings", field],
            format!("Value error, {msg}"),
        ))
    };
    let kind = settings.remove("agent_kind").and_then(|kind| kind.as_str().map(str::to_owned));
    if kind.is_some_and(|kind| kind == "acp") {
        return Err(problem("agent_kind", "ACP agents are not supported by this server"));
    }
    let llm = settings
        .remove("llm")
        .filter(Value::is_object)
        .ok_or_else(|| Problem::object_needed(&["body", "agent_settings", "llm"]))?;
    if settings.get("condenser").is_some_and(|given| !given.is_null() && !given.is_object()) {
        return Err(Problem::object_needed(&["body", "agent_settings", "condenser"]).into());
    }
    let mut agent = Map::from_iter([("kind".to_owned(), json!("Agent"))]);
    if let Some(condenser) = condenser(settings.remove("condenser"), &llm) {
        agent.insert("condenser".to_owned(), condenser);
    }
    agent.insert("llm".to_owned(), llm);
    let tools = settings.remove("tools").filter(Value::is_array);
    let tools = tools.unwrap_or_else(|| default_tools(offer));
    agent.insert("tools".to_owned(), tools);
    for field in [
        "agent_context",
        "mcp_config",
        "persona",
        "system_prompt",
        "tool_concurrency_limit",
        "filter_tools_regex",
    ] {
        if let Some(value) = settings.remove(field).filter(|value| !value.is_null()) {
            agent.insert(field.to_owned(), value);
        }
    }
    Ok(Value::Object(agent))
}

fn default_tools(offer: &Offer) -> Value {
    let default = offer.tools.iter().filter(|tool| tool.in_default_set);
    default.map(|tool| json!({"name": tool.name})).collect()
}

/// Settings say whether to condense and from which length on; with a `kind` they are a condenser already.
fn condenser(settings: Option<Value>, llm: &Value) -> Option<Value> {
    let settings = settings.filter(|settings| !settings.is_null()).unwrap_or_else(|| json!({}));
    if settings.get("kind").is_some() {
        return Some(settings);
    }
    if settings.get("enabled").and_then(Value::as_bool) == Some(false) {
        return None;
    }
    if settings.get("condenser_kind").is_some_and(|kind| kind == "no_op") {
        return Some(json!({"kind": "NoOpCondenser"}));
    }
    let mut llm = llm.clone();
    if let Some(fields) = llm.as_object_mut() {
        fields.insert("usage_id".to_owned(), json!("condenser"));
    }
    let said = |field: &str, usual: Value| {
        settings.get(field).filter(|said| !said.is_null()).cloned().unwrap_or(usual)
    };
    Some(json!({
        "llm": llm,
        "max_size": said("max_size", json!(240)),
        "max_tokens": settings.get("max_tokens"),
        "keep_first": said("keep_first", json!(2)),
        "minimum_progress": said("minimum_progress", json!(0.1)),
        "hard_context_reset_max_retries": said("hard_context_reset_max_retries", json!(5)),
        "hard_context_reset_context_scaling": said("hard_context_reset_context_scaling", json!(0.8)),
        "kind": "LLMSummarizingCondenser",
    }))
}

/// Puts a client's additions into the agent's context. `is_launched`: the agent is one of a profile, which has its model by now.
pub(super) fn add(agent: &mut Value, additions: Additions, is_launched: bool) -> ApiResult<()> {
    let problem = |field: &str, msg: &str| {
        Err(Problem::new(
            "value_error",
            &["body", "agent_launch_additions", field],
            format!("Value error, {msg}"),
        )
        .into())
    };
    if additions.llm_profile_ref.is_some() && !is_launched {
        return problem("llm_profile_ref", "only goes with agent_profile_id");
    }
    let suffix = additions.system_message_suffix_append.unwrap_or_default();
    if suffix.chars().count() > MAX_SUFFIX_CHARS {
        return problem("system_message_suffix_append", "at most 32768 characters");
    }
    let (suffix, added) = (suffix.trim(), additions.skills.unwrap_or_default());
    let Some(agent) = agent.as_object_mut().filter(|_| !suffix.is_empty() || !added.is_empty()) else {
        return Ok(());
    };
    let context = agent.entry("agent_context").or_insert(Value::Null);
    if context.is_null() {
        *context = json!({});
    }
    let Some(context) = context.as_object_mut() else { return Ok(()) };
    if !suffix.is_empty() {
        let own = context.get("system_message_suffix").and_then(Value::as_str).map(str::trim);
        let joined = own.filter(|own| !own.is_empty()).map(|own| format!("{own}\n\n{suffix}"));
        context
            .insert("system_message_suffix".to_owned(), joined.unwrap_or_else(|| suffix.to_owned()).into());
    }
    let disabled = context.get("disabled_skills").and_then(Value::as_array).cloned().unwrap_or_default();
    let skills = context.entry("skills").or_insert_with(|| json!([]));
    let Some(skills) = skills.as_array_mut() else { return Ok(()) };
    let named = skills.iter().filter_map(|own| own.get("name")).chain(&disabled);
    let mut taken: HashSet<String> = named.filter_map(Value::as_str).map(str::to_owned).collect();
    let name = |skill: &Value| skill.get("name").and_then(Value::as_str).map(str::to_owned);
    skills.extend(added.into_iter().filter(|skill| name(skill).is_none_or(|name| taken.insert(name))));
    Ok(())
}

/// Takes the named secrets out of the agent's context: they are kept with the conversation's others.
pub(super) fn take_secrets(agent: &mut Value) -> ApiResult<BTreeMap<String, SecretSource>> {
    sources(take_context_secrets(agent).into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ToolEntry;
    use crate::offer::Offered;

    fn offer() -> Offer {
        let tool = |name: &str, in_default_set| ToolEntry {
            name: name.to_owned(),
            user_selectable: true,
            usable: Some(true),
            description: None,
            in_default_set,
        };
        let tools = vec![tool("terminal", true), tool("browser", false), tool("notes", true)];
        Offer::new(Offered { tools, workspace_path: "/w".into(), has_containers: false })
    }

    #[test]
    fn settings_make_an_agent_with_the_default_tools_and_a_condenser() {
        let agent = agent_object(
            &offer(),
            None,
            Some(json!({"llm": {"model": "m"}, "tools": null, "condenser": {"max_size": 9}})),
            None,
        )
        .unwrap();
        assert_eq!(agent["tools"], json!([{"name": "terminal"}, {"name": "notes"}]));
        assert_eq!(
            (&agent["condenser"]["max_size"], &agent["condenser"]["llm"]["usage_id"]),
            (&json!(9), &json!("condenser"))
        );
        let settings = json!({"llm": {"model": "m"}, "condenser": {"enabled": false}});
        let plain = agent_object(&offer(), None, Some(settings), None).unwrap();
        assert!(plain.get("condenser").is_none());
    }

    #[test]
    fn exactly_one_source_is_taken() {
        let offer = offer();
        assert!(agent_object(&offer, None, None, None).is_err());
        assert!(agent_object(&offer, Some(json!({})), None, Some(Uuid::nil())).is_err());
        let both = agent_object(&offer, Some(json!({"a": 1})), Some(json!({})), None);
        assert_eq!(both.unwrap(), json!({"a": 1}));
    }

    #[test]
    fn additions_never_replace_the_agents_own() {
        let mut agent = json!({"agent_context": {"skills": [{"name": "a", "own": true}], "system_message_suffix": "x",
                "disabled_skills": ["c"]}});
        let additions = json!({"skills": [{"name": "a"}, {"name": "b"}, {"name": "c"}, {"name": "b"}],
            "system_message_suffix_append": "y "});
        add(&mut agent, serde_json::from_value(additions).unwrap(), false).unwrap();
        assert_eq!(agent["agent_context"]["skills"], json!([{"name": "a", "own": true}, {"name": "b"}]));
        assert_eq!(agent["agent_context"]["system_message_suffix"], "x\n\ny");
    }
}
