//! The shelf of settings: what new conversations are made from.

use std::collections::BTreeMap;

use forms::Form;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use types::buckets::SETTINGS;
use uuid::Uuid;

use crate::shelf::{Kept, Version};

/// What a tenant has set. Values of forms are complete, and their secrets sealed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Setup {
    v: Version,
    /// Null as long as nothing was set.
    pub agent_settings: Value,
    /// Null as long as nothing was set.
    pub conversation_settings: Value,
    /// What clients keep for themselves.
    pub misc_settings: Map<String, Value>,
    /// An LLM profile.
    pub active_profile: Option<String>,
    pub active_agent_profile_id: Option<Uuid>,
    pub active_meta_profile: Option<String>,
    /// By canonical name, as all profiles.
    pub llm_profiles: BTreeMap<String, Value>,
    pub agent_profiles: BTreeMap<String, Value>,
    pub meta_profiles: BTreeMap<String, Value>,
    /// In the order in which they were made.
    pub connections: Vec<Connection>,
    /// Of newer releases.
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// A key that several LLM profiles use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    pub id: String,
    pub display_name: String,
    pub provider: String,
    /// Sealed.
    pub api_key: String,
    pub base_url: Option<String>,
    /// In seconds since 1970.
    pub created_at: i64,
    pub updated_at: i64,
    /// Of newer releases.
    #[serde(flatten)]
    pub(super) rest: Map<String, Value>,
}

impl Kept for Setup {
    const BUCKET: &'static str = SETTINGS;
    const MOST: usize = 4 << 20;
    const TOO_LARGE: &'static str = "These settings are more than the server keeps: 4 MiB at most.";

    fn version(&self) -> Version {
        self.v
    }

    fn each_sealed(&mut self, change: &mut dyn FnMut(&mut String)) {
        each_sealed(agent_form(&self.agent_settings), &mut self.agent_settings, change);
        self.llm_profiles.values_mut().for_each(|profile| each_sealed(forms::llm(), profile, change));
        self.connections.iter_mut().for_each(|connection| change(&mut connection.api_key));
    }
}

/// The form of agent settings, by their kind.
#[must_use]
pub fn agent_form(settings: &Value) -> &'static Form {
    match settings.get("agent_kind").and_then(Value::as_str) {
        Some("acp") => forms::acp_settings(),
        _ => forms::openhands_settings(),
    }
}

fn each_sealed(form: &Form, value: &mut Value, change: &mut dyn FnMut(&mut String)) {
    form.map_secrets(value, &mut |_, sealed| {
        let mut sealed = sealed.to_owned();
        change(&mut sealed);
        sealed.into()
    });
}
