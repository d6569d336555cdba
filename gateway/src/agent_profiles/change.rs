//! Agent profiles are kept, renamed, made the active one and forgotten.

use axum::extract::State;
use control::setup::Setups;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::AgentProfileMutationResponse;
use crate::auth::Caller;
use crate::error::{ApiResult, Problem};
use crate::extract::{Json, Path, check_profile_name, check_profile_path};

const MOST_ID: usize = 128;

#[derive(Deserialize, utoipa::ToSchema)]
pub(super) struct RenameAgentProfileRequest {
    #[schema(pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    new_name: String,
}

#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct ActivateAgentProfileResponse {
    id: String,
    message: String,
    /// Never: settings stay as they are.
    agent_settings_applied: bool,
}

/// Keeps an agent profile, in the place of the one of its name, whose id stays.
#[utoipa::path(post, path = "/api/agent-profiles/{name}", tag = "Agent Profiles", params(("name" = String, Path)),
    request_body = Map<String, Value>,
    responses((status = 201, body = AgentProfileMutationResponse), (status = 409, description = "There are as many as can be")))]
pub(super) async fn save_agent_profile(
    State(setups): State<Setups>,
    caller: Caller,
    Path(name): Path<String>,
    Json(profile): Json<Map<String, Value>>,
) -> ApiResult<(StatusCode, Json<AgentProfileMutationResponse>)> {
    check_profile_path(&name)?;
    setups.save_agent_profile(&caller.tenant, &name, profile).await?;
    let message = format!("Agent profile '{name}' saved");
    Ok((StatusCode::CREATED, Json(AgentProfileMutationResponse { name, message })))
}

/// Forgets an agent profile. Where it was the active one, another becomes it.
#[utoipa::path(delete, path = "/api/agent-profiles/{name}", tag = "Agent Profiles", params(("name" = String, Path)),
    responses((status = 200, body = AgentProfileMutationResponse)))]
pub(super) async fn delete_agent_profile(
    State(setups): State<Setups>,
    caller: Caller,
    Path(name): Path<String>,
) -> ApiResult<Json<AgentProfileMutationResponse>> {
    check_profile_path(&name)?;
    setups.delete_agent_profile(&caller.tenant, &name).await?;
    let message = format!("Agent profile '{name}' deleted");
    Ok(Json(AgentProfileMutationResponse { name, message }))
}

/// Renames an agent profile; its id stays.
#[utoipa::path(post, path = "/api/agent-profiles/{name}/rename", tag = "Agent Profiles", params(("name" = String, Path)),
    request_body = RenameAgentProfileRequest,
    responses((status = 200, body = AgentProfileMutationResponse), (status = 404, description = "No such profile"),
        (status = 409, description = "There is one of the new name")))]
pub(super) async fn rename_agent_profile(
    State(setups): State<Setups>,
    caller: Caller,
    Path(name): Path<String>,
    Json(body): Json<RenameAgentProfileRequest>,
) -> ApiResult<Json<AgentProfileMutationResponse>> {
    check_profile_path(&name)?;
    check_profile_name(&body.new_name, &["body", "new_name"])?;
    setups.rename_agent_profile(&caller.tenant, &name, &body.new_name).await?;
    let message = match name == body.new_name {
        true => format!("Agent profile '{name}' unchanged (same name)"),
        false => format!("Agent profile '{name}' renamed to '{}'", body.new_name),
    };
    Ok(Json(AgentProfileMutationResponse { name: body.new_name, message }))
}

/// Makes the agent profile of this id the active one, and changes nothing else.
#[utoipa::path(post, path = "/api/agent-profiles/{name}/activate", tag = "Agent Profiles",
    params(("name" = String, Path, description = "The id of the profile")),
    responses((status = 200, body = ActivateAgentProfileResponse), (status = 404, description = "No such profile")))]
pub(super) async fn activate_agent_profile(
    State(setups): State<Setups>,
    caller: Caller,
    Path(id): Path<String>,
) -> ApiResult<Json<ActivateAgentProfileResponse>> {
    if id.chars().count() > MOST_ID {
        return Err(Problem::too_long(&["path", "profile_id"], MOST_ID).into());
    }
    setups.activate_agent_profile(&caller.tenant, &id).await?;
    let message = format!("Agent profile '{id}' activated");
    Ok(Json(ActivateAgentProfileResponse { id, message, agent_settings_applied: false }))
}
