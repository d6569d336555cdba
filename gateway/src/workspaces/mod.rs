//! Folders that the user interface offers.

mod body;

use axum::extract::State;
use control::workspaces::{List, Workspaces};
use serde::{Deserialize, Serialize};

use crate::auth::Caller;
use crate::described::{Routes, routes};
use crate::error::ApiResult;
use crate::extract::{Json, Query};
use body::{AddWorkspaceParentsRequest, AddWorkspacesRequest, WorkspacesResponse};

/// What `/server_info` says of it.
pub const CAPABILITIES: &[&str] = &[];

pub fn routes() -> Routes {
    Routes::new()
        .routes(routes!(list_workspaces, add_workspaces, remove_workspace))
        .routes(routes!(add_workspace_parents, remove_workspace_parent))
}

#[derive(Deserialize)]
struct Which {
    path: String,
}

#[derive(Serialize, utoipa::ToSchema)]
struct WorkspaceDeleted {
    deleted: bool,
}

/// The folders that are offered, and the folders of folders.
#[utoipa::path(get, path = "/api/workspaces", tag = "Workspaces", responses((status = 200, body = WorkspacesResponse)))]
async fn list_workspaces(
    State(workspaces): State<Workspaces>,
    caller: Caller,
) -> ApiResult<Json<WorkspacesResponse>> {
    Ok(Json(workspaces.all(&caller.tenant).await?.into()))
}

/// Offers more folders. Those whose paths are offered already stay as they are.
#[utoipa::path(post, path = "/api/workspaces", tag = "Workspaces", request_body = AddWorkspacesRequest,
    responses((status = 200, body = WorkspacesResponse)))]
async fn add_workspaces(
    State(workspaces): State<Workspaces>,
    caller: Caller,
    Json(body): Json<AddWorkspacesRequest>,
) -> ApiResult<Json<WorkspacesResponse>> {
    Ok(Json(workspaces.add(&caller.tenant, List::Workspaces, &body.into_folders()?).await?.into()))
}

/// Offers more folders of folders.
#[utoipa::path(post, path = "/api/workspaces/parents", tag = "Workspaces", request_body = AddWorkspaceParentsRequest,
    responses((status = 200, body = WorkspacesResponse)))]
async fn add_workspace_parents(
    State(workspaces): State<Workspaces>,
    caller: Caller,
    Json(body): Json<AddWorkspaceParentsRequest>,
) -> ApiResult<Json<WorkspacesResponse>> {
    Ok(Json(workspaces.add(&caller.tenant, List::Parents, &body.into_folders()?).await?.into()))
}

/// Offers a folder no longer; the folder itself stays.
#[utoipa::path(delete, path = "/api/workspaces", tag = "Workspaces", params(("path" = String, Query)),
    responses((status = 200, body = WorkspaceDeleted), (status = 404, description = "It is not offered")))]
async fn remove_workspace(
    State(workspaces): State<Workspaces>,
    caller: Caller,
    Query(which): Query<Which>,
) -> ApiResult<Json<WorkspaceDeleted>> {
    workspaces.remove(&caller.tenant, List::Workspaces, &which.path).await?;
    Ok(Json(WorkspaceDeleted { deleted: true }))
}

/// Offers the folders of a folder no longer.
#[utoipa::path(delete, path = "/api/workspaces/parents", tag = "Workspaces", params(("path" = String, Query)),
    responses((status = 200, body = WorkspaceDeleted), (status = 404, description = "It is not offered")))]
async fn remove_workspace_parent(
    State(workspaces): State<Workspaces>,
    caller: Caller,
    Query(which): Query<Which>,
) -> ApiResult<Json<WorkspaceDeleted>> {
    workspaces.remove(&caller.tenant, List::Parents, &which.path).await?;
    Ok(Json(WorkspaceDeleted { deleted: true }))
}
