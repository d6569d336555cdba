//! What agents of other kinds could be asked for. Those of this server say why not: none of them is another program, and none
//! loads plugins.

use axum::extract::State;
use control::conversations::Conversations;
use serde::Deserialize;

use crate::answer::Success;
use crate::auth::Caller;
use crate::error::{ApiError, ApiResult};
use crate::extract::{ConversationPath, Json};

/// Of a plugin's name, as much as is said again.
const SHOWN: usize = 256;

const NO_MARKETPLACES: &str = "No agent context available. Configure agent_context with registered_marketplaces to use \
                               load_plugin().";

#[derive(Deserialize, utoipa::ToSchema)]
pub(super) struct LoadPlugin {
    /// `name` or `name@marketplace`.
    plugin_ref: String,
}

/// Loads a plugin of the marketplaces that the agent names. Always refused: agents of this server load none.
#[utoipa::path(post, path = "/api/conversations/{conversation_id}/load_plugin", tag = "Conversations",
    params(("conversation_id" = Uuid, Path)), request_body = LoadPlugin,
    responses((status = 200, body = Success), (status = 400, description = "It cannot be loaded"),
        (status = 404, description = "No such conversation")))]
pub(super) async fn load_plugin(
    State(conversations): State<Conversations>,
    caller: Caller,
    ConversationPath(id): ConversationPath,
    Json(body): Json<LoadPlugin>,
) -> ApiResult<Json<Success>> {
    let entry = conversations.get(&caller.tenant, id).await?.ok_or_else(ApiError::not_found)?;
    if !conversations.has_marketplaces(&entry).await? {
        return Err(ApiError::bad_request(NO_MARKETPLACES));
    }
    let name = &body.plugin_ref;
    let name = name.get(..name.floor_char_boundary(SHOWN)).unwrap_or_default();
    Err(ApiError::bad_request(format!(
        "Plugin '{name}' cannot be loaded: agents of this server load no plugins"
    )))
}

#[derive(Deserialize, utoipa::ToSchema)]
pub(super) struct SwitchAcpModel {
    #[expect(dead_code, reason = "it must be given, and there is no agent to give it to")]
    model: String,
}

/// Changes the model of an agent that is another program. Always refused: there are none.
#[utoipa::path(post, path = "/api/conversations/{conversation_id}/switch_acp_model", tag = "Conversations",
    params(("conversation_id" = Uuid, Path)), request_body = SwitchAcpModel,
    responses((status = 200, body = Success), (status = 400, description = "The agent is no other program"),
        (status = 404, description = "No such conversation")))]
pub(super) async fn switch_acp_model(
    State(conversations): State<Conversations>,
    caller: Caller,
    ConversationPath(id): ConversationPath,
    _body: Json<SwitchAcpModel>,
) -> ApiResult<Json<Success>> {
    conversations.get(&caller.tenant, id).await?.ok_or_else(ApiError::not_found)?;
    Err(ApiError::bad_request("switch_acp_model is only supported for ACP conversations."))
}
