//! Agent profiles: what agents are made from, by name.

mod change;
mod preview;
mod read;

use serde::Serialize;

use crate::described::{Routes, routes};

/// What `/server_info` says of it.
pub const CAPABILITIES: &[&str] = &[];

pub fn routes() -> Routes {
    Routes::new()
        .routes(routes!(read::list_agent_profiles))
        .routes(routes!(read::get_agent_profile, change::save_agent_profile, change::delete_agent_profile))
        .routes(routes!(change::rename_agent_profile))
        .routes(routes!(change::activate_agent_profile))
        .routes(routes!(preview::materialize_agent_profile))
}

/// What was done to a profile.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct AgentProfileMutationResponse {
    name: String,
    message: String,
}
