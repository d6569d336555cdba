//! Settings as a whole: shown, and changed in parts that come together or not at all.

use serde_json::{Map, Value};
use types::TenantId;
use types::time::utc_now;
use uuid::Uuid;

use super::agent::{self, Unfit};
use super::{Setup, Setups, agent_form, canonical, linked, profile_llm, route_by};
use crate::Refusal;
use crate::shelf::{Change, Expose, Sealing, deep_merge};

/// Settings as they are shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub agent_settings: Value,
    pub conversation_settings: Value,
    pub llm_api_key_is_set: bool,
    pub active_profile: Option<String>,
    pub active_agent_profile_id: Option<Uuid>,
    pub active_meta_profile: Option<String>,
    pub misc_settings: Map<String, Value>,
}

/// What is to change; the pointers to nothing where they are `Some(None)`.
#[derive(Clone, Debug, Default)]
pub struct SettingsChange {
    pub agent: Option<Map<String, Value>>,
    pub conversation: Option<Map<String, Value>>,
    pub misc: Option<Map<String, Value>>,
    pub active_profile: Option<Option<String>>,
    pub active_agent_profile_id: Option<Option<Uuid>>,
    pub active_meta_profile: Option<Option<String>>,
}

impl SettingsChange {
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        let has_difference = self.agent.is_some() || self.conversation.is_some() || self.misc.is_some();
        let has_pointer = self.active_profile.is_some()
            || self.active_agent_profile_id.is_some()
            || self.active_meta_profile.is_some();
        !has_difference && !has_pointer
    }
}

impl Setups {
    /// # Errors
    /// `WrongKey` where more than masks is asked for; those of the shelf.
    pub async fn settings(&self, tenant: &TenantId, how: Expose) -> Result<Settings, Refusal> {
        let setup = self.ground.shelves.read::<Setup>(tenant).await?;
        shown(&self.sealing(tenant), &setup, how)
    }

    /// Changes settings, and shows all of them with their secrets masked.
    ///
    /// # Errors
    /// `Missing` for pointers to what is not there, `Unfit`, those of the shelf.
    pub async fn change_settings(
        &self,
        tenant: &TenantId,
        change: &SettingsChange,
    ) -> Result<Settings, Refusal> {
        let sealing = self.sealing(tenant);
        let change = |setup: &mut Setup| {
            apply(&sealing, setup, change)?;
            Ok(Change::Write(shown(&sealing, setup, Expose::Masked)?))
        };
        self.ground.shelves.change(tenant, change).await
    }

    pub(super) fn sealing(&self, tenant: &TenantId) -> Sealing<'_> {
        self.ground.shelves.sealing::<Setup>(tenant)
    }
}

pub(super) fn shown(sealing: &Sealing<'_>, setup: &Setup, how: Expose) -> Result<Settings, Refusal> {
    let mut agent_settings = agent::complete(&setup.agent_settings);
    sealing.show(agent_form(&agent_settings), &mut agent_settings, how)?;
    let context = agent_settings.get_mut("agent_context").and_then(Value::as_object_mut);
    if let Some(context) = context {
        // Who has not said what time it is means the time of reading.
        context.entry("current_datetime").or_insert_with(|| utc_now().into());
    }
    let key = agent_settings.pointer("/llm/api_key");
    Ok(Settings {
        llm_api_key_is_set: key.is_some_and(|key| !key.is_null()),
        agent_settings,
        conversation_settings: conversation(&setup.conversation_settings),
        active_profile: setup.active_profile.clone(),
        active_agent_profile_id: setup.active_agent_profile_id,
        active_meta_profile: setup.active_meta_profile.clone(),
        misc_settings: setup.misc_settings.clone(),
    })
}

fn apply(sealing: &Sealing<'_>, setup: &mut Setup, change: &SettingsChange) -> Result<(), Refusal> {
    check_pointers(setup, change)?;
    let llm = match &change.active_profile {
        Some(Some(name)) if !names_llm(change) => Some(linked(setup, Some(name), profile_llm(setup, name)?)?),
        _ => None,
    };
    let mut agent_settings = agent::complete(&setup.agent_settings);
    if let Some(change) = &change.agent {
        agent_settings = agent::changed(sealing, &agent_settings, change.clone().into()).map_err(refused)?;
    }
    setup.agent_settings = agent_settings;
    if let Some(change) = &change.conversation {
        setup.conversation_settings = conversation_changed(&setup.conversation_settings, change)?;
    }
    if let Some(change) = &change.misc {
        deep_merge(&mut setup.misc_settings, change.clone());
    }
    if let Some(llm) = llm {
        set_llm(setup, llm)?;
    }
    if let Some(name) = &change.active_profile {
        setup.active_profile = name.as_deref().map(|name| canonical(name).to_owned());
    }
    if let Some(id) = change.active_agent_profile_id {
        setup.active_agent_profile_id = id;
    }
    if let Some(name) = &change.active_meta_profile {
        route_by(setup, name.as_deref());
    } else if setup.agent_settings.get("active_meta_profile").is_none() {
        // Agents of this kind do not choose their model.
        setup.active_meta_profile = None;
    }
    Ok(())
}

fn check_pointers(setup: &Setup, change: &SettingsChange) -> Result<(), Refusal> {
    if let Some(Some(id)) = change.active_agent_profile_id {
        let text = id.to_string();
        let is_it = |profile: &Value| profile.get("id").and_then(Value::as_str) == Some(&text);
        if !setup.agent_profiles.values().any(is_it) {
            return Err(Refusal::Missing(format!("Agent profile with id '{id}' not found")));
        }
    }
    if let Some(Some(name)) = &change.active_meta_profile
        && !setup.meta_profiles.contains_key(canonical(name))
    {
        return Err(Refusal::Missing(format!("Meta-profile '{name}' not found")));
    }
    Ok(())
}

/// Whoever names a model means it, also beside the name of a profile.
fn names_llm(change: &SettingsChange) -> bool {
    change.agent.as_ref().is_some_and(|change| change.contains_key("llm"))
}

/// The model of a profile takes the place of what was set, as far as it says something.
fn set_llm(setup: &mut Setup, llm: Value) -> Result<(), Refusal> {
    let fields = setup.agent_settings.as_object_mut().filter(|fields| fields.contains_key("llm"));
    if let Some(fields) = fields {
        let llm = forms::llm().fill(llm).map_err(|_| refused(Unfit::Invalid))?;
        fields.insert("llm".to_owned(), llm);
    }
    Ok(())
}

pub(super) fn conversation(stored: &Value) -> Value {
    let stored = if stored.is_null() { Map::new().into() } else { stored.clone() };
    forms::conversation_settings().fill(stored.clone()).unwrap_or(stored)
}

fn conversation_changed(stored: &Value, change: &Map<String, Value>) -> Result<Value, Refusal> {
    let mut settings = match conversation(stored) {
        Value::Object(settings) => settings,
        _ => Map::new(),
    };
    deep_merge(&mut settings, change.clone());
    forms::conversation_settings().fill(settings.into()).map_err(|_| refused(Unfit::Invalid))
}

pub(super) fn refused(unfit: Unfit) -> Refusal {
    match unfit {
        Unfit::Invalid => Refusal::Unfit("Settings validation failed".to_owned()),
        Unfit::Unopenable => Refusal::Unfit(
            "A sealed secret in the request cannot be opened with this server's key".to_owned(),
        ),
        Unfit::TooManyServers => Refusal::TooLarge("Settings may have at most 200 MCP servers."),
    }
}
