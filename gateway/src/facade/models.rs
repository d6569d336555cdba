//! The LLM profiles, as models.

use axum::extract::State;
use serde::Serialize;

use super::begin::PREFIX;
use crate::auth::Caller;
use crate::error::ApiResult;
use crate::extract::Json;
use crate::handles::Facade;

#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct OpenAIModelListResponse {
    object: &'static str,
    data: Vec<OpenAIModel>,
}

#[derive(Serialize, utoipa::ToSchema)]
struct OpenAIModel {
    id: String,
    /// Nobody knows.
    created: u64,
    object: &'static str,
    owned_by: &'static str,
}

/// Lists the LLM profiles as models.
#[utoipa::path(get, path = "/v1/models", tag = "OpenAI Compatibility", responses((status = 200, body = OpenAIModelListResponse)))]
pub(super) async fn get_openai_models(
    State(facade): State<Facade>,
    caller: Caller,
) -> ApiResult<Json<OpenAIModelListResponse>> {
    let names = facade.launch.models(&caller.tenant).await?;
    let model = |name| OpenAIModel {
        id: format!("{PREFIX}{name}"),
        created: 0,
        object: "model",
        owned_by: "openhands",
    };
    Ok(Json(OpenAIModelListResponse { object: "list", data: names.into_iter().map(model).collect() }))
}
