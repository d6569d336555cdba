//! The tools a conversation may use.

use axum::extract::State;
use serde::Serialize;

use crate::config::ToolEntry;
use crate::extract::Json;
use crate::offer::Offer;

/// The names of all tools a conversation may use.
#[utoipa::path(get, path = "/api/tools/", tag = "Tools", responses((status = 200, body = Vec<String>)))]
pub async fn list_available_tools(State(offer): State<Offer>) -> Json<Vec<String>> {
    Json(offer.tools.iter().map(|tool| tool.name.clone()).collect())
}

#[derive(Serialize, utoipa::ToSchema)]
pub struct ToolCatalogResponse {
    tools: Vec<ToolEntry>,
}

/// All tools, with what a user is shown of them.
#[utoipa::path(get, path = "/api/tools/catalog", tag = "Tools", responses((status = 200, body = ToolCatalogResponse)))]
pub async fn get_tool_catalog(State(offer): State<Offer>) -> Json<ToolCatalogResponse> {
    Json(ToolCatalogResponse { tools: offer.tools.clone() })
}
