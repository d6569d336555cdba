//! Goals: the agent works towards one until its model says that it is reached.

use axum::extract::State;
use control::conversations::Conversations;
use http::StatusCode;
use ports::rpc::{Code, Fault, Reason};
use serde::Deserialize;
use serde_json::json;
use types::calls::Command;

use super::control::run_fault;
use crate::answer::Success;
use crate::auth::Caller;
use crate::error::{ApiError, ApiResult, Problem};
use crate::extract::{ConversationPath, Json};
use crate::idempotency::Attempt;
use crate::words;

const MOST_ROUNDS: u32 = 1_000;
/// As it is kept. It is told again with the end of a run, for which little room is left in a log that is full.
const LONGEST_OBJECTIVE: usize = 8 * 1024;

#[derive(Deserialize, utoipa::ToSchema)]
pub(super) struct StartGoalRequest {
    objective: String,
    /// 10 if it is not given.
    #[serde(default = "ten")]
    #[schema(minimum = 1, maximum = 1000)]
    max_iterations: i64,
}

/// Has the agent work towards a goal: it runs, its model judges how far it has come, and it is told what is missing, until all
/// is done or the rounds are used up.
#[utoipa::path(post, path = "/api/conversations/{conversation_id}/goal", tag = "Conversations",
    params(("conversation_id" = Uuid, Path)), request_body = StartGoalRequest,
    responses((status = 200, body = Success), (status = 404, description = "No such conversation"),
        (status = 409, description = "A run is active, a goal is worked on, or actions wait for confirmation"),
        (status = 429, description = "All run slots are taken")))]
pub(super) async fn start_goal(
    State(conversations): State<Conversations>,
    caller: Caller,
    attempt: Attempt,
    ConversationPath(id): ConversationPath,
    Json(body): Json<StartGoalRequest>,
) -> ApiResult<Json<Success>> {
    let rounds = rounds(body.max_iterations)?;
    let entry = conversations.get(&caller.tenant, id).await?.ok_or_else(ApiError::not_found)?;
    if body.objective.trim().is_empty() {
        return Err(ApiError::bad_request("Goal objective must not be empty."));
    }
    let written = serde_json::to_string(&body.objective).map_err(ApiError::internal)?;
    if written.len() > LONGEST_OBJECTIVE {
        let text = "A goal has at most 8 KiB: put what is longer into a file.";
        return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, text));
    }
    conversations.start_goal(&entry, body.objective, rounds, attempt.event()).await.map_err(refused)?;
    Ok(Json(Success::YES))
}

/// Stops the work on the goal. A run under way goes on; the goal can be gone on with.
#[utoipa::path(post, path = "/api/conversations/{conversation_id}/goal/stop", tag = "Conversations",
    params(("conversation_id" = Uuid, Path)),
    responses((status = 200, body = Success), (status = 404, description = "No such conversation")))]
pub(super) async fn stop_goal(
    State(conversations): State<Conversations>,
    caller: Caller,
    ConversationPath(id): ConversationPath,
) -> ApiResult<Json<Success>> {
    let entry = conversations.get(&caller.tenant, id).await?.ok_or_else(ApiError::not_found)?;
    conversations.stop(&entry, Command::StopGoal {}).await?;
    Ok(Json(Success::YES))
}

/// Goes on with the goal that was interrupted, with the rounds that are left.
#[utoipa::path(post, path = "/api/conversations/{conversation_id}/goal/resume", tag = "Conversations",
    params(("conversation_id" = Uuid, Path)),
    responses((status = 200, body = Success), (status = 400, description = "There is none"),
        (status = 404, description = "No such conversation"),
        (status = 409, description = "A run is active, a goal is worked on, or actions wait for confirmation"),
        (status = 429, description = "All run slots are taken")))]
pub(super) async fn resume_goal(
    State(conversations): State<Conversations>,
    caller: Caller,
    ConversationPath(id): ConversationPath,
) -> ApiResult<Json<Success>> {
    let entry = conversations.get(&caller.tenant, id).await?.ok_or_else(ApiError::not_found)?;
    conversations.resume_goal(&entry).await.map_err(refused)?;
    Ok(Json(Success::YES))
}

fn ten() -> i64 {
    10
}

fn rounds(given: i64) -> ApiResult<u32> {
    let loc = ["body", "max_iterations"];
    if given < 1 {
        let problem = Problem::new("greater_than_equal", &loc, "Input should be greater than or equal to 1");
        return Err(Problem { ctx: Some(json!({"ge": 1})), ..problem }.into());
    }
    let rounds = u32::try_from(given).ok().filter(|rounds| *rounds <= MOST_ROUNDS);
    rounds.ok_or_else(|| {
        let problem = Problem::new("less_than_equal", &loc, "Input should be less than or equal to 1000");
        Problem { ctx: Some(json!({"le": MOST_ROUNDS})), ..problem }.into()
    })
}

fn refused(fault: Fault) -> ApiError {
    match fault.code {
        Code::Conflict if fault.reason == Some(Reason::AlreadyRunning) => {
            ApiError::new(StatusCode::CONFLICT, "Conversation run or goal loop already running.")
        }
        Code::Invalid => ApiError::bad_request(words::of(&fault)),
        _ => run_fault(fault),
    }
}
