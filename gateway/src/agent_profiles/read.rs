//! Agent profiles as they are. They hold no secrets.

use axum::extract::State;
use control::setup::{AgentProfiles, Setups};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::auth::{Caller, Right};
use crate::error::ApiResult;
use crate::extract::{Json, Path, check_profile_path};

#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct AgentProfileListResponse {
    profiles: Vec<AgentProfileInfo>,
    active_agent_profile_id: Option<Uuid>,
}

/// As much of a profile as a list shows.
#[derive(Serialize, utoipa::ToSchema)]
struct AgentProfileInfo {
    id: Option<String>,
    name: String,
    agent_kind: String,
    revision: Option<u64>,
    llm_profile_ref: Option<String>,
    mcp_server_refs: Option<Vec<String>>,
}

#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct AgentProfileDetailResponse {
    name: String,
    profile: Value,
}

/// Lists the agent profiles. Some is always active: where none is, `default` becomes it, made of the settings if it is not there;
/// only for callers who may write.
#[utoipa::path(get, path = "/api/agent-profiles", tag = "Agent Profiles",
    responses((status = 200, body = AgentProfileListResponse)))]
pub(super) async fn list_agent_profiles(
    State(setups): State<Setups>,
    caller: Caller,
) -> ApiResult<Json<AgentProfileListResponse>> {
    let listed = setups.agent_profiles(&caller.tenant, caller.may(Right::Write)).await?;
    Ok(Json(listed.into()))
}

/// Shows an agent profile.
#[utoipa::path(get, path = "/api/agent-profiles/{name}", tag = "Agent Profiles", params(("name" = String, Path)),
    responses((status = 200, body = AgentProfileDetailResponse), (status = 404, description = "No such profile")))]
pub(super) async fn get_agent_profile(
    State(setups): State<Setups>,
    caller: Caller,
    Path(name): Path<String>,
) -> ApiResult<Json<AgentProfileDetailResponse>> {
    check_profile_path(&name)?;
    let profile = setups.agent_profile(&caller.tenant, &name).await?;
    Ok(Json(AgentProfileDetailResponse { name, profile }))
}

impl From<AgentProfiles> for AgentProfileListResponse {
    fn from(listed: AgentProfiles) -> Self {
        Self {
            profiles: listed.profiles.into_iter().map(|(name, profile)| info(name, &profile)).collect(),
            active_agent_profile_id: listed.active,
        }
    }
}

fn info(name: String, profile: &Value) -> AgentProfileInfo {
    let text = |field: &str| profile.get(field).and_then(Value::as_str).map(str::to_owned);
    let servers = profile.get("mcp_server_refs").and_then(Value::as_array);
    AgentProfileInfo {
        id: text("id"),
        name,
        agent_kind: text("agent_kind").unwrap_or_else(|| "openhands".to_owned()),
        revision: profile.get("revision").and_then(Value::as_u64),
        llm_profile_ref: text("llm_profile_ref"),
        mcp_server_refs: servers
            .map(|servers| servers.iter().filter_map(Value::as_str).map(str::to_owned).collect()),
    }
}
