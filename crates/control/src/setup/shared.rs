//! What several operations do to settings alike: they are pure, and called while a shelf is changed.

use serde_json::{Value, json};

use super::{Connection, Setup};
use crate::Refusal;

/// The name of a profile without the end that files of profiles have.
#[must_use]
pub fn canonical(name: &str) -> &str {
    name.strip_suffix(".json").unwrap_or(name)
}

/// The LLM profile of this name, as it is stored.
///
/// # Errors
/// `Missing`.
pub fn profile_llm(setup: &Setup, name: &str) -> Result<Value, Refusal> {
    let missing = || Refusal::Missing(format!("Profile '{name}' not found"));
    setup.llm_profiles.get(canonical(name)).cloned().ok_or_else(missing)
}

/// A model with what its provider connection has, if it names one. Keys are copied sealed. `name`: of its profile.
///
/// # Errors
/// `Unfit` where there is no such connection.
pub fn linked(setup: &Setup, name: Option<&str>, mut llm: Value) -> Result<Value, Refusal> {
    let Some(id) = llm.get("provider_connection_id").and_then(Value::as_str) else { return Ok(llm) };
    let Some(connection) = connection(setup, id) else { return Err(dangling(name, id)) };
    if let Some(fields) = llm.as_object_mut() {
        fields.insert("api_key".to_owned(), connection.api_key.as_str().into());
        fields.insert("base_url".to_owned(), connection.base_url.as_deref().into());
    }
    Ok(llm)
}

pub(super) fn connection<'a>(setup: &'a Setup, id: &str) -> Option<&'a Connection> {
    setup.connections.iter().find(|connection| connection.id == id)
}

fn dangling(name: Option<&str>, id: &str) -> Refusal {
    Refusal::Unfit(match name {
        Some(name) => format!(
            "Profile '{name}' references provider connection '{id}', which does not exist. Update the profile or \
             recreate the connection."
        ),
        None => format!(
            "LLM config references provider connection '{id}', which does not exist. Update the profile or recreate the \
             connection."
        ),
    })
}

/// Makes the profile `name` the active one, and its model, already linked, that of new agents. False where agents of the kind
/// that is set have no model: then only the profile is active.
pub fn apply_llm(setup: &mut Setup, llm: Value, name: &str) -> bool {
    setup.active_profile = Some(canonical(name).to_owned());
    if is_acp(setup) {
        return false;
    }
    set(setup, "llm", llm);
    true
}

/// Lets new agents choose their model by this meta-profile; `None`: no longer. False where agents of the kind that is set cannot
/// choose: then nothing is active.
pub fn route_by(setup: &mut Setup, meta_profile: Option<&str>) -> bool {
    if is_acp(setup) {
        setup.active_meta_profile = None;
        return false;
    }
    setup.active_meta_profile = meta_profile.map(str::to_owned);
    set(setup, "active_meta_profile", meta_profile.into());
    set(setup, "enable_classify_and_switch_llm_tool", meta_profile.is_some().into());
    true
}

/// The agent profiles that refer to an LLM profile.
#[must_use]
pub fn referrers(setup: &Setup, llm_profile: &str) -> Vec<String> {
    let refers = |profile: &Value| {
        let named = profile.get("llm_profile_ref").and_then(Value::as_str);
        named.map(canonical) == Some(canonical(llm_profile))
    };
    setup.agent_profiles.iter().filter(|(_, profile)| refers(profile)).map(|(name, _)| name.clone()).collect()
}

fn is_acp(setup: &Setup) -> bool {
    setup.agent_settings.get("agent_kind").and_then(Value::as_str) == Some("acp")
}

/// In settings that nobody has set yet everything else is the default.
pub(super) fn set(setup: &mut Setup, field: &str, value: Value) {
    if setup.agent_settings.is_null() {
        setup.agent_settings = json!({});
    }
    if let Some(fields) = setup.agent_settings.as_object_mut() {
        fields.insert(field.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setup() -> Setup {
        let mut setup = Setup::default();
        let profile =
            |link: Option<&str>| json!({"model": "m", "api_key": "own", "provider_connection_id": link});
        setup.llm_profiles.insert("own".to_owned(), profile(None));
        setup.llm_profiles.insert("linked".to_owned(), profile(Some("c")));
        setup.llm_profiles.insert("dangling".to_owned(), profile(Some("zz")));
        setup.agent_profiles.insert("a".to_owned(), json!({"llm_profile_ref": "own.json"}));
        setup.connections.push(Connection {
            id: "c".to_owned(),
            display_name: "C".to_owned(),
            provider: "custom".to_owned(),
            api_key: "of the connection".to_owned(),
            base_url: None,
            created_at: 0,
            updated_at: 0,
            rest: serde_json::Map::new(),
        });
        setup
    }

    #[test]
    fn a_linked_model_has_the_key_of_its_connection() {
        let setup = setup();
        let llm = linked(&setup, Some("linked"), profile_llm(&setup, "linked.json").unwrap()).unwrap();
        assert_eq!((&llm["api_key"], &llm["base_url"]), (&json!("of the connection"), &Value::Null));
        let own = linked(&setup, Some("own"), profile_llm(&setup, "own").unwrap()).unwrap();
        assert_eq!(own["api_key"], "own");
        let Err(Refusal::Unfit(told)) =
            linked(&setup, Some("dang"), profile_llm(&setup, "dangling").unwrap())
        else {
            panic!("a connection that is not there was found")
        };
        assert_eq!(
            told,
            "Profile 'dang' references provider connection 'zz', which does not exist. Update the profile or recreate \
             the connection."
        );
        assert!(
            matches!(profile_llm(&setup, "nope"), Err(Refusal::Missing(told)) if told == "Profile 'nope' not found")
        );
    }

    #[test]
    fn who_refers_to_a_profile_is_found_whatever_the_spelling() {
        assert_eq!(referrers(&setup(), "own"), ["a"]);
        assert_eq!(referrers(&setup(), "own.json"), ["a"]);
        assert_eq!(referrers(&setup(), "linked"), [""; 0]);
    }

    #[test]
    fn agents_without_a_model_of_their_own_get_none_and_do_not_choose() {
        let mut setup = setup();
        assert!(
            apply_llm(&mut setup, json!({"model": "m"}), "own.json") && route_by(&mut setup, Some("cheap"))
        );
        assert_eq!(
            (setup.active_profile.as_deref(), &setup.agent_settings["llm"]["model"]),
            (Some("own"), &json!("m"))
        );
        assert_eq!(setup.agent_settings["enable_classify_and_switch_llm_tool"], true);

        setup.agent_settings = json!({"agent_kind": "acp"});
        assert!(
            !apply_llm(&mut setup, json!({"model": "m"}), "linked") && !route_by(&mut setup, Some("cheap"))
        );
        assert_eq!((setup.active_profile.as_deref(), setup.active_meta_profile), (Some("linked"), None));
        assert_eq!(setup.agent_settings, json!({"agent_kind": "acp"}));
    }
}
