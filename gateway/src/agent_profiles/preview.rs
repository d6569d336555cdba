//! What launching an agent profile would come to.

use axum::extract::State;
use control::launch::{AgentProfileDiagnostics, Launch};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::auth::Caller;
use crate::error::ApiResult;
use crate::extract::{Json, Object, Path, check_profile_path};
use crate::offer::Offer;

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MaterializeAgentProfileRequest {
    /// A draft to look at in place of the profile that is kept.
    #[serde(default)]
    profile: Option<Map<String, Value>>,
}

/// Previews a launch of an agent profile, as it is kept or as it is sent. What it refers to in vain is told in the answer.
#[utoipa::path(post, path = "/api/agent-profiles/{name}/materialize", tag = "Agent Profiles",
    params(("name" = String, Path)), request_body = Option<MaterializeAgentProfileRequest>,
    responses((status = 200, body = AgentProfileDiagnostics), (status = 404, description = "No such profile")))]
pub(super) async fn materialize_agent_profile(
    State(launch): State<Launch>,
    State(offer): State<Offer>,
    caller: Caller,
    Path(name): Path<String>,
    body: Option<Json<Option<Object<MaterializeAgentProfileRequest>>>>,
) -> ApiResult<Json<AgentProfileDiagnostics>> {
    check_profile_path(&name)?;
    let draft = body.and_then(|Json(body)| body).and_then(|Object(body)| body.profile);
    Ok(Json(launch.preview(&caller.tenant, &name, draft, &offer.of_agents()).await?))
}
