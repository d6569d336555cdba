//! Settings: what new conversations are made from.

mod mcp_servers;
mod read;
mod schemas;
mod update;

use control::setup::Settings;
use serde::Serialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::described::{Routes, routes};

/// What `/server_info` says of it.
pub const CAPABILITIES: &[&str] = &[];

pub fn routes() -> Routes {
    Routes::new()
        .routes(routes!(read::get_settings, update::update_settings))
        .routes(routes!(schemas::get_agent_settings_schema))
        .routes(routes!(schemas::get_conversation_settings_schema))
        .routes(routes!(
            mcp_servers::create_mcp_server,
            mcp_servers::update_mcp_server,
            mcp_servers::delete_mcp_server
        ))
}

/// All settings.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct SettingsResponse {
    agent_settings: Value,
    conversation_settings: Value,
    llm_api_key_is_set: bool,
    active_profile: Option<String>,
    active_agent_profile_id: Option<Uuid>,
    active_meta_profile: Option<String>,
    misc_settings: Map<String, Value>,
}

impl From<Settings> for SettingsResponse {
    fn from(settings: Settings) -> Self {
        Self {
            agent_settings: settings.agent_settings,
            conversation_settings: settings.conversation_settings,
            llm_api_key_is_set: settings.llm_api_key_is_set,
            active_profile: settings.active_profile,
            active_agent_profile_id: settings.active_agent_profile_id,
            active_meta_profile: settings.active_meta_profile,
            misc_settings: settings.misc_settings,
        }
    }
}
