//! Everything that a profile refers to is put in its place.

use serde_json::{Map, Value, json};
use types::time::utc_now;

use super::another;
use super::skills::{self, Catalogue};
use super::tools::Tools;
use super::unlaunchable::{Dangling, Unlaunchable};
use crate::Refusal;
use crate::setup::{Setup, canonical, complete, completed, linked, profile_llm};

/// The agent settings that a profile makes, secrets sealed. `model`: the model profile that takes the place of the profile's own.
pub(super) fn resolve(
    setup: &Setup,
    profile: &Value,
    model: Option<&str>,
    tools: &Tools,
    catalogue: &Catalogue,
) -> Result<Value, Unlaunchable> {
    if model.is_some() && another::is_another(profile) {
        let why = "agent_launch_additions.llm_profile_ref applies only to an OpenHands Agent Profile";
        return Err(Unlaunchable::Invalid(why.to_owned()));
    }
    let settings = complete(&setup.agent_settings);
    let (servers, missing) = servers_of(&settings, profile);
    let mut made = if another::is_another(profile) {
        let dangling = Dangling { mcp_servers: missing, ..Dangling::default() };
        if !dangling.is_empty() {
            return Err(Unlaunchable::References(dangling));
        }
        another::settings(profile, servers)?
    } else {
        let skills = skills::chosen(catalogue, profile);
        own_settings(setup, &settings, profile, model, tools, skills, (servers, missing))?
    };
    if settings.pointer("/agent_context/load_memory") == Some(&Value::Bool(true))
        && let Some(context) = made.get_mut("agent_context").and_then(Value::as_object_mut)
    {
        context.insert("load_memory".to_owned(), true.into());
    }
    if let Some(fields) = made.as_object_mut() {
        // What the profile does not say is as the settings have it by default.
        fields.retain(|_, value| !value.is_null());
    }
    completed(made).map_err(|_| Unlaunchable::Invalid("The agent profile makes no valid settings".to_owned()))
}

/// The MCP servers of the settings that a profile names, all if it names none; and those that are not there.
pub(super) fn servers_of(settings: &Value, profile: &Value) -> (Map<String, Value>, Vec<String>) {
    let all = settings.get("mcp_config").and_then(Value::as_object).cloned().unwrap_or_default();
    let Some(names) = texts(profile, "mcp_server_refs") else { return (all, Vec::new()) };
    let (mut servers, mut missing) = (Map::new(), Vec::new());
    for name in names {
        match all.get(&name) {
            Some(server) => drop(servers.insert(name, server.clone())),
            None if !missing.contains(&name) => missing.push(name),
            None => {}
        }
    }
    (servers, missing)
}

/// A list of texts; `None` where there is none.
pub(super) fn texts(value: &Value, field: &str) -> Option<Vec<String>> {
    let texts = value.get(field)?.as_array()?;
    Some(texts.iter().filter_map(Value::as_str).map(str::to_owned).collect())
}

fn own_settings(
    setup: &Setup,
    settings: &Value,
    profile: &Value,
    model: Option<&str>,
    tools: &Tools,
    skills: Vec<Value>,
    (servers, missing): (Map<String, Value>, Vec<String>),
) -> Result<Value, Unlaunchable> {
    let own = |field: &str| profile.get(field).cloned().unwrap_or_default();
    let named = profile.get("llm_profile_ref").and_then(Value::as_str).unwrap_or_default();
    let name = model.unwrap_or(named);
    let llm = model_of(setup, name)?;
    let routing = Routing::of(setup, profile)?;
    let dangling = Dangling {
        llm_profile: llm.is_none().then(|| name.to_owned()),
        mcp_servers: missing,
        meta_profile: routing.missing,
        routed: routing.missing_models,
    };
    if !dangling.is_empty() {
        return Err(Unlaunchable::References(dangling));
    }
    let mut llm = llm.unwrap_or_default();
    let mut verification = own("verification");
    if let Some(fields) = llm.as_object_mut() {
        // A profile cannot say it, and whoever wants no pieces is sent none.
        fields.insert("stream".to_owned(), true.into());
    }
    if let Some(fields) = verification.as_object_mut() {
        let key = settings.pointer("/verification/critic_api_key").cloned().unwrap_or_default();
        fields.insert("critic_api_key".to_owned(), key);
    }
    Ok(json!({
        "agent_kind": "openhands",
        "agent": own("agent"),
        "llm": llm,
        "mcp_config": servers,
        "tools": tools.chosen(&own("tools")),
        "persona": own("persona"),
        "agent_context": {
            "skills": skills,
            "system_message_suffix": own("system_message_suffix"),
            // The workspace's own are read when the agent starts in it.
            "load_project_skills": true,
            "disabled_skills": own("disabled_skills"),
            "current_datetime": utc_now(),
        },
        "condenser": own("condenser"),
        "verification": verification,
        "enable_classify_and_switch_llm_tool": own("enable_classify_and_switch_llm_tool"),
        "active_meta_profile": own("meta_profile_ref"),
        "meta_profile": routing.meta_profile,
        "meta_profile_llms": routing.models,
        "tool_concurrency_limit": own("tool_concurrency_limit"),
    }))
}

/// The model of a profile; `None` where there is no such profile.
pub(super) fn model_of(setup: &Setup, name: &str) -> Result<Option<Value>, Unlaunchable> {
    let Ok(llm) = profile_llm(setup, name) else { return Ok(None) };
    match linked(setup, Some(name), llm) {
        Ok(llm) => Ok(Some(llm)),
        Err(Refusal::Unfit(why)) => Err(Unlaunchable::Invalid(format!("LLM profile '{name}': {why}"))),
        Err(_) => Err(Unlaunchable::Invalid(format!("LLM profile '{name}' cannot be used"))),
    }
}

/// How an agent chooses its model: the meta-profile, and the models that it may come to.
#[derive(Default)]
struct Routing {
    meta_profile: Value,
    models: Map<String, Value>,
    missing: Option<String>,
    missing_models: Vec<String>,
}

impl Routing {
    fn of(setup: &Setup, profile: &Value) -> Result<Self, Unlaunchable> {
        let mut routing = Self::default();
        let name = profile.get("meta_profile_ref").and_then(Value::as_str);
        let does = profile.get("enable_classify_and_switch_llm_tool") == Some(&Value::Bool(true));
        let Some(name) = name.filter(|_| does) else { return Ok(routing) };
        let Some(meta_profile) = setup.meta_profiles.get(canonical(name)) else {
            return Ok(Self { missing: Some(name.to_owned()), ..routing });
        };
        let classes = meta_profile.get("classes").and_then(Value::as_array).into_iter().flatten();
        let classes = classes.filter_map(|class| class.get("model"));
        for name in meta_profile.get("classifier_model").into_iter().chain(classes).filter_map(Value::as_str)
        {
            match model_of(setup, name)? {
                Some(llm) => drop(routing.models.insert(name.to_owned(), llm)),
                None if routing.missing_models.iter().any(|missing| missing == name) => {}
                None => routing.missing_models.push(name.to_owned()),
            }
        }
        if meta_profile.get("prompt_template").is_some_and(Value::is_string) {
            // It may choose any; one that cannot be used is none that it names.
            for name in setup.llm_profiles.keys() {
                if let Ok(Some(llm)) = model_of(setup, name) {
                    routing.models.entry(name.clone()).or_insert(llm);
                }
            }
        }
        routing.meta_profile = meta_profile.clone();
        Ok(routing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::read_agent_profile;

    fn setup() -> Setup {
        let mut setup = Setup::default();
        setup.agent_settings = json!({"mcp_config": {"a": {"command": "a"}, "b": {"command": "b"}},
            "agent_context": {"load_memory": true}});
        for name in ["big", "small"] {
            setup.llm_profiles.insert(name.to_owned(), json!({"model": name, "api_key": "sealed"}));
        }
        setup
            .llm_profiles
            .insert("dangling".to_owned(), json!({"model": "m", "provider_connection_id": "zz"}));
        let classes = json!([{"description": "d", "model": "big"}, {"description": "e", "model": "gone"}]);
        setup
            .meta_profiles
            .insert("meta".to_owned(), json!({"classifier_model": "small", "classes": classes}));
        setup
    }

    fn made(profile: &Value, model: Option<&str>) -> Result<Value, Value> {
        let refused = |unlaunchable| match Refusal::from(unlaunchable) {
            Refusal::Coded { detail, .. } => detail,
            other => panic!("{other:?}"),
        };
        let profile = read_agent_profile("p", profile.as_object().unwrap().clone()).unwrap();
        resolve(&setup(), &profile, model, &Tools::default(), &[]).map_err(refused)
    }

    #[test]
    fn what_a_profile_names_is_put_in_its_place() {
        let profile = json!({"llm_profile_ref": "big.json", "mcp_server_refs": ["b", "b"], "persona": "p",
            "disabled_skills": ["s"], "tools": [{"name": "terminal"}]});
        let settings = made(&profile, None).unwrap();
        assert_eq!((&settings["llm"]["model"], &settings["llm"]["stream"]), (&json!("big"), &json!(true)));
        assert_eq!(settings["mcp_config"], json!({"b": {"command": "b", "enabled": true}}));
        let context = &settings["agent_context"];
        assert_eq!((&context["load_memory"], &context["disabled_skills"]), (&json!(true), &json!(["s"])));
        assert_eq!(settings["tools"], json!([{"name": "terminal", "params": {}}]));
        let other = made(&profile, Some("small")).unwrap();
        assert_eq!(other["llm"]["model"], "small");
        let all = made(&json!({"llm_profile_ref": "big"}), None).unwrap();
        assert_eq!(all["mcp_config"].as_object().unwrap().len(), 2);
    }

    #[test]
    fn every_dangling_reference_is_told_at_once() {
        let profile = json!({"llm_profile_ref": "gone", "mcp_server_refs": ["x", "a", "x"], "meta_profile_ref": "meta",
            "enable_classify_and_switch_llm_tool": true});
        let told = made(&profile, None).unwrap_err();
        let message = "LLM profile 'gone' not found; MCP server(s) not configured: x; \
                       LLM profile(s) routed to by the meta-profile not found: gone";
        assert_eq!(
            told,
            json!({"code": "unresolved_profile_references", "message": message, "dangling_llm_profile_ref": "gone",
                "dangling_mcp_server_refs": ["x"], "dangling_meta_profile_ref": null,
                "dangling_meta_profile_llm_refs": ["gone"]})
        );
        let linked = made(&json!({"llm_profile_ref": "dangling"}), None).unwrap_err();
        assert_eq!(linked["code"], "invalid_agent_launch");
    }

    #[test]
    fn other_programs_have_no_model_and_need_a_command() {
        let profile = json!({"agent_kind": "acp", "acp_server": "custom", "acp_command": "run 'a b'",
            "acp_prompt_timeout": 1.0, "acp_startup_timeout": 1.0});
        assert_eq!(made(&profile, None).unwrap()["acp_command"], json!(["run", "a b"]));
        let refused = made(&profile, Some("big")).unwrap_err();
        assert_eq!(refused["code"], "invalid_agent_launch");
        for command in [Value::Null, json!(""), json!("run 'a")] {
            let mut profile = profile.clone();
            profile["acp_command"] = command;
            assert!(made(&profile, None).is_err(), "{profile}");
        }
    }
}
