//! Some agent profile is always active, so that every conversation can be made from one: where none is, `default` becomes it,
//! made of the settings if there is none of that name.

use serde_json::{Value, json};
use uuid::Uuid;

use super::{Setup, agent};

/// The profile that is made where nobody has made one, and the model that it is made with where none is active.
pub(super) const SEED: &str = "default";

/// Profiles of each kind that a tenant may have.
pub(super) const MOST_PROFILES: usize = 50;

/// Sees to it that some agent profile is active; a new one gets the id `fresh`. False: it was so.
pub(super) fn activate_some(setup: &mut Setup, fresh: Uuid) -> bool {
    if is_some_active(setup) {
        return false;
    }
    let seed = match setup.agent_profiles.get(SEED) {
        Some(profile) => id_of(profile),
        None if setup.agent_profiles.len() < MOST_PROFILES => Some(plant(setup, fresh)),
        None => None,
    };
    let Some(id) = seed.or_else(|| setup.agent_profiles.values().find_map(id_of)) else { return false };
    setup.active_agent_profile_id = Some(id);
    true
}

/// Whether the active profile is one that there is.
pub(super) fn is_some_active(setup: &Setup) -> bool {
    setup.active_agent_profile_id.is_some_and(|id| profile_of(setup, id).is_some())
}

/// The agent profile of this id, with its name.
pub(crate) fn profile_of(setup: &Setup, id: Uuid) -> Option<(&String, &Value)> {
    setup.agent_profiles.iter().find(|(_, profile)| id_of(profile) == Some(id))
}

pub(super) fn id_of(profile: &Value) -> Option<Uuid> {
    profile.get("id").and_then(Value::as_str).and_then(|id| Uuid::parse_str(id).ok())
}

fn plant(setup: &mut Setup, fresh: Uuid) -> Uuid {
    let settings = agent::complete(&setup.agent_settings);
    let (form, seed) = if is_of_another_program(&settings) {
        (forms::acp_profile(), acp_seed(&settings))
    } else {
        (forms::openhands_profile(), own_seed(&settings, &seed_model(setup, &settings)))
    };
    let identity = json!({"id": fresh, "name": SEED, "llm_profile_ref": seed.get("llm_profile_ref")});
    // Settings that an older release has taken may not be what a profile can say.
    let bare = form.fill(without_nulls(identity.clone()));
    let profile = form.fill(with(seed, without_nulls(identity))).or(bare).unwrap_or_default();
    setup.agent_profiles.insert(SEED.to_owned(), profile);
    fresh
}

fn is_of_another_program(settings: &Value) -> bool {
    settings.get("agent_kind").is_some_and(|kind| kind == "acp")
}

/// The model profile that the seed refers to. Where none is active that is `default`, made of the settings' model if there is
/// none of that name, and if somebody has set one: what is as it was never calls a model.
fn seed_model(setup: &mut Setup, settings: &Value) -> String {
    if let Some(active) = setup.active_profile.as_ref().filter(|name| !name.is_empty()) {
        return active.clone();
    }
    let has_room = !setup.llm_profiles.contains_key(SEED) && setup.llm_profiles.len() < MOST_PROFILES;
    if let Some(llm) = settings.get("llm").filter(|llm| has_room && is_set_up(llm)) {
        let mut llm = llm.clone();
        if let Some(fields) = llm.as_object_mut()
            && fields.get("provider_connection_id").is_some_and(|id| !id.is_null())
        {
            // A profile that is linked has no key of its own.
            fields.insert("api_key".to_owned(), Value::Null);
            fields.insert("base_url".to_owned(), Value::Null);
        }
        setup.llm_profiles.insert(SEED.to_owned(), llm);
    }
    SEED.to_owned()
}

fn is_set_up(llm: &Value) -> bool {
    let text = |field: &str| llm.get(field).and_then(Value::as_str).map_or("", str::trim);
    let is_subscription = llm.get("is_subscription") == Some(&Value::Bool(true));
    !text("api_key").is_empty()
        || !text("base_url").is_empty()
        || is_subscription
        || text("auth_type") == "subscription"
}

fn own_seed(settings: &Value, llm_profile: &str) -> Value {
    let of_context = |field: &str| settings.pointer(&format!("/agent_context/{field}"));
    let mut verification = settings.get("verification").cloned().unwrap_or_default();
    if let Some(fields) = verification.as_object_mut() {
        fields.shift_remove("critic_api_key");
    }
    without_nulls(json!({
        "agent_kind": "openhands",
        "llm_profile_ref": llm_profile,
        "agent": settings.get("agent"),
        "tools": settings.get("tools"),
        "persona": settings.get("persona"),
        "system_message_suffix": of_context("system_message_suffix"),
        "disabled_skills": of_context("disabled_skills"),
        "condenser": settings.get("condenser"),
        "verification": verification,
        "enable_classify_and_switch_llm_tool": settings.get("enable_classify_and_switch_llm_tool"),
        "meta_profile_ref": settings.get("active_meta_profile"),
        "tool_concurrency_limit": settings.get("tool_concurrency_limit"),
    }))
}

fn acp_seed(settings: &Value) -> Value {
    let words = |field: &str| {
        let words = settings.get(field).and_then(Value::as_array).filter(|words| !words.is_empty());
        words.map(|words| words.iter().filter_map(Value::as_str).collect::<Vec<_>>())
    };
    without_nulls(json!({
        "agent_kind": "acp",
        "acp_server": settings.get("acp_server"),
        "acp_model": settings.get("acp_model"),
        "acp_session_mode": settings.get("acp_session_mode"),
        "acp_prompt_timeout": settings.get("acp_prompt_timeout"),
        "acp_startup_timeout": settings.get("acp_startup_timeout"),
        "acp_command": words("acp_command").and_then(|words| shlex::try_join(words).ok()),
        "acp_args": words("acp_args"),
    }))
}

/// What is null was not set: the form says what that means.
fn without_nulls(mut value: Value) -> Value {
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
    value
}

fn with(mut value: Value, more: Value) -> Value {
    if let (Some(fields), Value::Object(more)) = (value.as_object_mut(), more) {
        fields.extend(more);
    }
    value
}

/// After the profile that was active is gone: what agents of another program are made from went with it. MCP servers are of all
/// profiles.
pub(super) fn give_up_other_agents(setup: &mut Setup) {
    let settings = agent::complete(&setup.agent_settings);
    if !is_of_another_program(&settings) {
        return;
    }
    let servers = settings.get("mcp_config").cloned().unwrap_or_default();
    setup.agent_settings = agent::complete(&without_nulls(json!({ "mcp_config": servers })));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn activated(setup: &mut Setup) -> bool {
        activate_some(setup, Uuid::from_u128(7))
    }

    fn setup(agent_settings: Value) -> Setup {
        let mut setup = Setup::default();
        setup.agent_settings = agent_settings;
        setup
    }

    fn profile(id: u128) -> Value {
        json!({"id": Uuid::from_u128(id), "llm_profile_ref": "l"})
    }

    #[test]
    fn where_nobody_has_made_a_profile_one_is_made_of_the_settings() {
        let mut setup = setup(json!({"persona": "p", "tool_concurrency_limit": 3}));
        assert!(activated(&mut setup) && !activated(&mut setup));
        let seed = &setup.agent_profiles[SEED];
        assert_eq!((&seed["persona"], &seed["tool_concurrency_limit"]), (&json!("p"), &json!(3)));
        assert_eq!((&seed["llm_profile_ref"], &seed["tools"]), (&json!("default"), &Value::Null));
        assert_eq!(setup.active_agent_profile_id, Some(Uuid::from_u128(7)));
        assert!(setup.llm_profiles.is_empty(), "nobody has set a model");
    }

    #[test]
    fn the_model_of_the_settings_becomes_a_profile_where_it_is_set_up_and_none_is_active() {
        for (llm, is_made) in [
            (json!({"model": "m"}), false),
            (json!({"model": "m", "api_key": "sealed"}), true),
            (json!({"model": "m", "base_url": " "}), false),
            (json!({"model": "m", "auth_type": "subscription", "subscription_vendor": "openai"}), true),
        ] {
            let mut setup = setup(json!({ "llm": llm }));
            activated(&mut setup);
            assert_eq!(setup.llm_profiles.contains_key(SEED), is_made, "{llm}");
        }
        let mut setup = setup(json!({"llm": {"model": "m", "api_key": "sealed"}}));
        setup.active_profile = Some("mine".to_owned());
        activated(&mut setup);
        assert_eq!(setup.agent_profiles[SEED]["llm_profile_ref"], "mine");
        assert!(setup.llm_profiles.is_empty());
    }

    #[test]
    fn agents_of_other_programs_are_seeded_with_their_command() {
        let settings = json!({"agent_kind": "acp", "acp_server": "custom", "acp_command": ["run it", "-x"]});
        let mut setup = setup(settings);
        activated(&mut setup);
        let seed = &setup.agent_profiles[SEED];
        assert_eq!((&seed["agent_kind"], &seed["acp_command"]), (&json!("acp"), &json!("'run it' -x")));
        give_up_other_agents(&mut setup);
        assert_eq!(setup.agent_settings["agent_kind"], "openhands");
    }

    #[test]
    fn a_pointer_to_nothing_goes_to_the_default_profile_or_else_to_the_first() {
        let mut setup = setup(Value::Null);
        setup.active_agent_profile_id = Some(Uuid::from_u128(9));
        setup.agent_profiles.insert("a".to_owned(), profile(1));
        setup.agent_profiles.insert(SEED.to_owned(), profile(2));
        assert!(activated(&mut setup));
        assert_eq!(setup.active_agent_profile_id, Some(Uuid::from_u128(2)));
        setup.agent_profiles.remove(SEED);
        for number in 0..49 {
            setup.agent_profiles.insert(format!("b{number}"), profile(100 + number));
        }
        assert!(activated(&mut setup));
        assert_eq!(setup.active_agent_profile_id, Some(Uuid::from_u128(1)));
        assert_eq!(setup.agent_profiles.len(), MOST_PROFILES);
    }
}
