//! What tenants have set: how agents are made, which models and profiles there are, and which of them are active.
//!
//! All of it is one shelf ([`Setup`]), for its parts refer to each other: a profile that is active cannot go, a rename takes
//! along who refers to it. Handlers see none of it; [`Setups`] has a function for each operation.

mod active;
mod agent;
mod agent_profile;
mod agent_profiles;
mod allowed_secrets;
mod connections;
mod document;
mod llm_profiles;
mod mcp_servers;
mod meta_profiles;
mod model;
pub mod moving;
mod rules;
mod settings;
mod shared;
mod trial;

use ports::rpc::Room;

use crate::ground::Ground;
use crate::logins::Logins;
pub(crate) use active::profile_of;
pub(crate) use agent::{complete, completed};
pub(crate) use agent_profile::read_agent_profile;
pub use agent_profiles::AgentProfiles;
pub use connections::{ConnectionChange, ConnectionListed, NewConnection};
pub use document::{Connection, Setup, agent_form};
pub use llm_profiles::{LlmProfile, LlmProfileListed, LlmProfiles};
pub use meta_profiles::{MetaProfileListed, MetaProfiles};
pub use rules::{llm_has_model, mcp_server_is_whole, meta_profile_routes};
pub use settings::{Settings, SettingsChange};
pub use shared::{apply_llm, canonical, linked, profile_llm, referrers, route_by};
pub use trial::LlmProblem;

/// What tenants have set. Cheap to clone.
#[derive(Clone)]
pub struct Setups {
    ground: Ground,
    logins: Logins,
    /// Of calls that try models out.
    trials: Room,
}

impl Setups {
    pub(crate) fn new(ground: &Ground) -> Self {
        Self { ground: ground.clone(), logins: Logins::new(ground), trials: Room::new(trial::LIMITS) }
    }
}
