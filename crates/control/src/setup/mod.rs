//! What tenants have set: how agents are made, which models and profiles there are, and which of them are active.
//!
//! All of it is one shelf ([`Setup`]), for its parts refer to each other: a profile that is active cannot go, a rename takes
//! along who refers to it. Handlers see none of it; [`Setups`] has a function for each operation.

mod active;
mod agent;
mod agent_profile;
mod agent_profiles;
mod allowed_secrets;
mod document;
mod mcp_servers;
mod rules;
mod settings;
mod shared;

use crate::ground::Ground;
pub(crate) use active::profile_of;
pub(crate) use agent::{complete, completed};
pub(crate) use agent_profile::read_agent_profile;
pub use agent_profiles::AgentProfiles;
pub use document::{Connection, Setup, agent_form};
pub use rules::{llm_has_model, mcp_server_is_whole};
pub use settings::{Settings, SettingsChange};
pub use shared::{apply_llm, canonical, linked, profile_llm, referrers, route_by};

/// What tenants have set. Cheap to clone.
#[derive(Clone)]
pub struct Setups {
    ground: Ground,
}

impl Setups {
    pub(crate) fn new(ground: &Ground) -> Self {
        Self { ground: ground.clone() }
    }
}
