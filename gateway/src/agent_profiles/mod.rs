//! Agent profiles: what agents are made from, by name.

mod change;
mod preview;
mod read;

use serde::Serialize;

use crate::described::{Routes, routes};

/// What `/server_info` says of it.
pub const CAPABILITIES: &[&str] = &[
    "profile_secret_scope_v1",
    "profile_persona_v1",
    "agent_profile_draft_materialize_v1",
    "agent_launch_pipeline_v1",
    "profile_public_skills_v1",
];

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
