//! Starting and ending commands.

use axum::extract::State;
use axum::response::Response;
use control::commands::Commands;
use control::placement::Workers;
use serde::{Deserialize, Serialize};
use types::bash::{BashEvent, ExecuteBashRequest};
use uuid::Uuid;

use super::joined;
use crate::answer::Success;
use crate::error::ApiResult;
use crate::extract::{Json, Path};
use crate::schema::bash::{StartedCommand, WholeOutput};
use crate::scope::{Aim, Target};

/// Starts a command and returns at once.
#[utoipa::path(post, path = "/start_bash_command", tag = "Bash", request_body = ExecuteBashRequest,
    responses((status = 200, body = StartedCommand), (status = 422, description = "Invalid request")))]
pub(super) async fn start_bash_command(
    State(commands): State<Commands>,
    State(workers): State<Workers>,
    aim: Aim,
    Json(request): Json<ExecuteBashRequest>,
) -> ApiResult<Json<BashEvent>> {
    let Target { sandbox, scope } = aim.of_command(&workers, &request).await?;
    let started = commands.start(&sandbox, scope, request).await?;
    Ok(Json(BashEvent::BashCommand(started.command)))
}

/// Runs a command to its end and returns all it printed.
#[utoipa::path(post, path = "/execute_bash_command", tag = "Bash", request_body = ExecuteBashRequest,
    responses((status = 200, body = WholeOutput), (status = 422, description = "Invalid request"),
        (status = 410, description = "It has run, and its events were cleared before they could be read")))]
pub(super) async fn execute_bash_command(
    State(commands): State<Commands>,
    State(workers): State<Workers>,
    aim: Aim,
    Json(request): Json<ExecuteBashRequest>,
) -> ApiResult<Response> {
    let target = aim.of_command(&workers, &request).await?;
    let tail = commands.tail(&target.sandbox, &target.scope);
    let outputs = commands.run(&tail, &target.sandbox, target.scope, request).await?;
    joined::answer(&tail, outputs).await
}

/// Ends a running command.
#[utoipa::path(post, path = "/bash_commands/{command_id}/stop", tag = "Bash", params(("command_id" = Uuid, Path)),
    responses((status = 200, body = Success), (status = 404, description = "There is no such command")))]
pub(super) async fn stop_bash_command(
    State(commands): State<Commands>,
    State(workers): State<Workers>,
    aim: Aim,
    Path(params): Path<CommandPath>,
) -> ApiResult<Json<Success>> {
    let target = aim.target(&workers).await?;
    let success = commands.stop(&target.sandbox, target.scope, params.command_id).await?;
    Ok(Json(Success { success }))
}

#[derive(Deserialize)]
pub(super) struct CommandPath {
    command_id: Uuid,
}

#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Cleared {
    cleared_count: u64,
}

/// Forgets all commands and outputs.
#[utoipa::path(delete, path = "/bash_events", tag = "Bash", responses((status = 200, body = Cleared)))]
pub(super) async fn clear_all_bash_events(
    State(commands): State<Commands>,
    State(workers): State<Workers>,
    aim: Aim,
) -> ApiResult<Json<Cleared>> {
    let target = aim.target(&workers).await?;
    let cleared_count = commands.clear(&target.sandbox, target.scope).await?;
    Ok(Json(Cleared { cleared_count }))
}
