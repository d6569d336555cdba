//! Starting and ending commands.

use std::pin::pin;

use axum::extract::State;
use control::commands::Commands;
use control::placement::Workers;
use futures_util::TryStreamExt;
use readmodel::bashlog::{EventSummary, Tail, records_of};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use types::bash::{BashEvent, ExecuteBashRequest};
use uuid::Uuid;

use crate::answer::Success;
use crate::auth::Caller;
use crate::error::{ApiError, ApiResult};
use crate::extract::{Json, Path};
use crate::schema::bash::{StartedCommand, WholeOutput};
use crate::scope::Target;

/// Starts a command and returns at once.
#[utoipa::path(post, path = "/start_bash_command", tag = "Bash", request_body = ExecuteBashRequest,
    responses((status = 200, body = StartedCommand), (status = 422, description = "Invalid request")))]
pub(super) async fn start_bash_command(
    State(commands): State<Commands>,
    State(workers): State<Workers>,
    caller: Caller,
    target: Target,
    Json(request): Json<ExecuteBashRequest>,
) -> ApiResult<Json<BashEvent>> {
    let Target { sandbox, scope } = target.for_command(&workers, &caller, &request).await?;
    let started = commands.start(&sandbox, scope, request).await?;
    Ok(Json(BashEvent::BashCommand(started.command)))
}

/// Runs a command to its end and returns all it printed.
#[utoipa::path(post, path = "/execute_bash_command", tag = "Bash", request_body = ExecuteBashRequest,
    responses((status = 200, body = WholeOutput), (status = 422, description = "Invalid request")))]
pub(super) async fn execute_bash_command(
    State(commands): State<Commands>,
    State(workers): State<Workers>,
    caller: Caller,
    target: Target,
    Json(request): Json<ExecuteBashRequest>,
) -> ApiResult<Json<Joined>> {
    let target = target.for_command(&workers, &caller, &request).await?;
    let tail = commands.tail(&target.sandbox, &target.scope);
    let outputs = commands.run(&tail, &target.sandbox, target.scope, request).await?;
    join(&tail, outputs).await.map(Json)
}

/// Ends a running command.
#[utoipa::path(post, path = "/bash_commands/{command_id}/stop", tag = "Bash", params(("command_id" = Uuid, Path)),
    responses((status = 200, body = Success), (status = 404, description = "There is no such command")))]
pub(super) async fn stop_bash_command(
    State(commands): State<Commands>,
    target: Target,
    Path(params): Path<CommandPath>,
) -> ApiResult<Json<Success>> {
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
    target: Target,
) -> ApiResult<Json<Cleared>> {
    let cleared_count = commands.clear(&target.sandbox, target.scope).await?;
    Ok(Json(Cleared { cleared_count }))
}

/// An output whose texts are still the JSON they were stored as.
#[derive(Serialize, Deserialize)]
pub(super) struct Joined {
    kind: String,
    id: String,
    timestamp: String,
    command_id: String,
    order: u64,
    exit_code: Option<i32>,
    stdout: Option<Box<RawValue>>,
    stderr: Option<Box<RawValue>>,
}

/// All outputs of a command as its last one.
async fn join(tail: &Tail, outputs: Vec<EventSummary>) -> ApiResult<Joined> {
    let mut records = pin!(records_of(tail.event_log(), tail.log.clone(), outputs));
    let (mut stdout, mut stderr, mut last) = (None, None, None);
    while let Some(record) = records.try_next().await? {
        let mut output: Joined = serde_json::from_slice(&record)?;
        append(&mut stdout, output.stdout.take());
        append(&mut stderr, output.stderr.take());
        last = Some(output);
    }
    let last = last.ok_or_else(|| ApiError::internal("a command without output"))?;
    Ok(Joined { stdout: closed(stdout)?, stderr: closed(stderr)?, ..last })
}

/// JSON texts become one by leaving out the quotes between them: no escape reaches over a text's end.
fn append(joined: &mut Option<String>, text: Option<Box<RawValue>>) {
    let Some(text) = text else { return };
    if let Some(inner) = text.get().strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        joined.get_or_insert_with(|| "\"".to_owned()).push_str(inner);
    }
}

fn closed(joined: Option<String>) -> serde_json::Result<Option<Box<RawValue>>> {
    joined.map(|text| RawValue::from_string(text + "\"")).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(texts: &[&str]) -> Option<String> {
        let mut joined = None;
        for text in texts {
            append(&mut joined, Some(serde_json::value::to_raw_value(text).unwrap()));
        }
        closed(joined).unwrap().map(|text| serde_json::from_str(text.get()).unwrap())
    }

    #[test]
    fn texts_are_joined_whatever_they_hold() {
        assert_eq!(
            joined(&["a\"\\", "\\\"b\n", "", "é\u{1F600}"]).as_deref(),
            Some("a\"\\\\\"b\né\u{1F600}")
        );
        assert_eq!(joined(&[""]).as_deref(), Some(""));
        assert_eq!(joined(&[]), None);
    }
}
