//! The program of an extension: its state, and what is done with it.

use axum::extract::State;
use control::apps::Apps;
use serde::Deserialize;
use types::app::{AppLogs, AppState};

use super::check_name;
use crate::auth::Caller;
use crate::error::{ApiResult, Problem};
use crate::extract::{Json, Path, Query};
use crate::ingress::Ingress;

const USUAL_LOGS: usize = 64 * 1024;
const MOST_LOGS: usize = 256 * 1024;

/// What the user approves: one exact revision.
#[derive(Deserialize, utoipa::ToSchema)]
#[schema(as = BackendRevisionRequest)]
pub(super) struct RevisionRequest {
    #[schema(min_length = 1)]
    revision: String,
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct LogsQuery {
    /// Bytes of the end that are wanted, 262,144 at most.
    #[param(minimum = 1, maximum = 262_144)]
    limit_bytes: Option<usize>,
}

/// Where the program stands.
#[utoipa::path(get, path = "/api/canvas-extensions/installed/{extension_name}/backend", tag = "Canvas Extensions",
    params(("extension_name" = String, Path)), responses((status = 200, body = AppState)))]
pub(super) async fn get_backend_status(
    State(apps): State<Apps>,
    caller: Caller,
    Path(name): Path<String>,
) -> ApiResult<Json<AppState>> {
    check_name(&name)?;
    Ok(Json(apps.status(&caller.tenant, &name).await?))
}

/// Fetches and unpacks the program of an exact revision.
#[utoipa::path(post, path = "/api/canvas-extensions/installed/{extension_name}/backend/prepare", tag = "Canvas Extensions",
    params(("extension_name" = String, Path)), request_body = RevisionRequest,
    responses((status = 200, body = AppState), (status = 409, description = "It is another revision, or not what it should be")))]
pub(super) async fn prepare_backend(
    State(apps): State<Apps>,
    caller: Caller,
    Path(name): Path<String>,
    Json(body): Json<RevisionRequest>,
) -> ApiResult<Json<AppState>> {
    check_name(&name)?;
    let revision = body.checked()?;
    Ok(Json(apps.prepare(&caller.tenant, &name, &revision).await?))
}

/// Starts a program that was prepared, and waits until it is ready.
#[utoipa::path(post, path = "/api/canvas-extensions/installed/{extension_name}/backend/start", tag = "Canvas Extensions",
    params(("extension_name" = String, Path)), request_body = RevisionRequest,
    responses((status = 200, body = AppState), (status = 409, description = "It is not prepared, or cannot start")))]
pub(super) async fn start_backend(
    State(apps): State<Apps>,
    caller: Caller,
    Path(name): Path<String>,
    Json(body): Json<RevisionRequest>,
) -> ApiResult<Json<AppState>> {
    check_name(&name)?;
    let revision = body.checked()?;
    Ok(Json(apps.start(&caller.tenant, &name, &revision).await?))
}

/// Stops the program, if it runs. Its sessions end.
#[utoipa::path(post, path = "/api/canvas-extensions/installed/{extension_name}/backend/stop", tag = "Canvas Extensions",
    params(("extension_name" = String, Path)), responses((status = 200, body = AppState)))]
pub(super) async fn stop_backend(
    State(apps): State<Apps>,
    State(ingress): State<Ingress>,
    caller: Caller,
    Path(name): Path<String>,
) -> ApiResult<Json<AppState>> {
    check_name(&name)?;
    ingress.end_all(&caller.tenant, &name);
    apps.stop(&caller.tenant, &name).await?;
    Ok(Json(apps.status(&caller.tenant, &name).await?))
}

/// What the program has printed last.
#[utoipa::path(get, path = "/api/canvas-extensions/installed/{extension_name}/backend/logs", tag = "Canvas Extensions",
    params(("extension_name" = String, Path), LogsQuery), responses((status = 200, body = AppLogs)))]
pub(super) async fn get_backend_logs(
    State(apps): State<Apps>,
    caller: Caller,
    Path(name): Path<String>,
    Query(query): Query<LogsQuery>,
) -> ApiResult<Json<AppLogs>> {
    check_name(&name)?;
    const LOC: &[&str] = &["query", "limit_bytes"];
    let limit = query.limit_bytes.unwrap_or(USUAL_LOGS);
    if limit == 0 {
        let msg = "Input should be greater than or equal to 1";
        return Err(Problem::new("greater_than_equal", LOC, msg).into());
    }
    if limit > MOST_LOGS {
        let msg = format!("Input should be less than or equal to {MOST_LOGS}");
        return Err(Problem::new("less_than_equal", LOC, msg).into());
    }
    Ok(Json(apps.logs(&caller.tenant, &name, limit).await?))
}

/// Removes what the program has written. It stays when the extension goes.
#[utoipa::path(delete, path = "/api/canvas-extensions/installed/{extension_name}/backend/data", tag = "Canvas Extensions",
    params(("extension_name" = String, Path)),
    responses((status = 200, body = AppState), (status = 409, description = "It runs")))]
pub(super) async fn delete_backend_data(
    State(apps): State<Apps>,
    caller: Caller,
    Path(name): Path<String>,
) -> ApiResult<Json<AppState>> {
    check_name(&name)?;
    Ok(Json(apps.delete_data(&caller.tenant, &name).await?))
}

impl RevisionRequest {
    fn checked(self) -> ApiResult<String> {
        if self.revision.is_empty() {
            return Err(Problem::empty(&["body", "revision"]).into());
        }
        Ok(self.revision)
    }
}
