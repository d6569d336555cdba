//! Looking at conversations. Nothing here waits for a worker.

use axum::extract::State;
use axum::response::Response;
use http::{StatusCode, Uri};
use readmodel::index::{ConversationInfo, ConversationState, Cursor, Index, Sort};
use serde::{Deserialize, Serialize};
use types::ConversationId;
use types::conversation::Status;
use uuid::Uuid;

use crate::answer::json_bytes;
use crate::auth::Caller;
use crate::error::{ApiError, ApiResult, Problem};
use crate::extract::{ConversationPath, Json, Query, choice, flag, limit, query_values};
use crate::reading::{Detail, Reading};
use crate::schema::conversation::ConversationPage;
use crate::schema::order::ConversationSortOrder;

const STATUSES: [(&str, Status); 8] = [
    ("idle", Status::Idle),
    ("running", Status::Running),
    ("paused", Status::Paused),
    ("waiting_for_confirmation", Status::WaitingForConfirmation),
    ("finished", Status::Finished),
    ("error", Status::Error),
    ("stuck", Status::Stuck),
    ("deleting", Status::Deleting),
];

const SORTS: [(&str, Sort); 4] = [
    ("CREATED_AT", Sort::Created),
    ("UPDATED_AT", Sort::Updated),
    ("CREATED_AT_DESC", Sort::CreatedDesc),
    ("UPDATED_AT_DESC", Sort::UpdatedDesc),
];

/// The most ids of one batch.
const MOST_IDS: usize = 99;

#[derive(Deserialize)]
pub(super) struct Shape {
    #[serde(default, deserialize_with = "flag")]
    include_skills: bool,
}

impl Shape {
    fn detail(&self) -> Detail {
        Detail { include_skills: self.include_skills, runtime: true }
    }
}

/// One conversation.
#[utoipa::path(get, path = "/api/conversations/{conversation_id}", tag = "Conversations",
    params(("conversation_id" = Uuid, Path), ("include_skills" = Option<bool>, Query)),
    responses((status = 200, body = ConversationInfo<'static>),
        (status = 404, description = "No such conversation")))]
pub(super) async fn get_conversation(
    State(reading): State<Reading>,
    caller: Caller,
    ConversationPath(id): ConversationPath,
    Query(shape): Query<Shape>,
) -> ApiResult<Response> {
    let entry = reading.get(&caller, id).await?;
    let mut out = Vec::new();
    reading.write_info(&entry, shape.detail(), &mut out)?;
    Ok(json_bytes(StatusCode::OK, out))
}

/// Several conversations in the order asked for; null for those that do not exist.
#[utoipa::path(get, path = "/api/conversations", tag = "Conversations",
    params(("ids" = Vec<Uuid>, Query), ("include_skills" = Option<bool>, Query)),
    responses((status = 200, body = Vec<Option<ConversationInfo<'static>>>), (status = 422, description = "No ids, or no ids at all")))]
pub(super) async fn batch_get_conversations(
    State(reading): State<Reading>,
    caller: Caller,
    Query(shape): Query<Shape>,
    uri: Uri,
) -> ApiResult<Response> {
    let ids = query_values(&uri, "ids");
    if ids.is_empty() {
        return Err(Problem::missing(&["query", "ids"]).into());
    }
    if ids.len() > MOST_IDS {
        return Err(Problem::too_many(&["query", "ids"], MOST_IDS).into());
    }
    let mut out = vec![b'['];
    for (i, id) in ids.iter().enumerate() {
        let Ok(id) = Uuid::parse_str(id) else {
            let mut problem = Problem::bad_uuid(&["query", "ids"]);
            problem.loc.push(i.into());
            return Err(problem.into());
        };
        if i > 0 {
            out.push(b',');
        }
        match reading.index.find(&caller.tenant, ConversationId(id)).await? {
            Some(entry) => reading.write_info(&entry, shape.detail(), &mut out)?,
            None => out.extend_from_slice(b"null"),
        }
    }
    out.push(b']');
    Ok(json_bytes(StatusCode::OK, out))
}

#[derive(Deserialize)]
pub(super) struct Search {
    page_id: Option<String>,
    limit: Option<i64>,
    status: Option<String>,
    sort_order: Option<String>,
    #[serde(default, deserialize_with = "flag")]
    include_skills: bool,
}

/// A page of the list of conversations.
#[utoipa::path(get, path = "/api/conversations/search", tag = "Conversations",
    params(("page_id" = Option<String>, Query, description = "Where the page begins: what the page before it said, or the first item's id in hex"),
        ("limit" = Option<u64>, Query, minimum = 1, maximum = 100),
        ("status" = Option<Status>, Query), ("sort_order" = inline(Option<ConversationSortOrder>), Query),
        ("include_skills" = Option<bool>, Query)),
    responses((status = 200, body = ConversationPage)))]
pub(super) async fn search_conversations(
    State(reading): State<Reading>,
    caller: Caller,
    Query(search): Query<Search>,
) -> ApiResult<Response> {
    let status = choice("status", search.status.as_deref(), &STATUSES)?;
    let sort = choice("sort_order", search.sort_order.as_deref(), &SORTS)?.unwrap_or_default();
    let limit = limit(search.limit)?;
    let from = search.page_id.as_deref().and_then(Cursor::parse);
    let (entries, next) = reading.index.page(&caller.tenant, sort, from, status, limit);
    let detail = Detail { include_skills: search.include_skills, runtime: true };
    let mut out = Vec::with_capacity(entries.len() * 8 * 1024);
    out.extend_from_slice(b"{\"items\":[");
    for (i, entry) in entries.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        reading.write_info(entry, detail, &mut out)?;
    }
    let next = next.map_or("null".to_owned(), |cursor| format!("\"{cursor}\""));
    out.extend_from_slice(format!("],\"next_page_id\":{next}}}").as_bytes());
    Ok(json_bytes(StatusCode::OK, out))
}

#[derive(Deserialize)]
pub(super) struct Count {
    status: Option<String>,
}

/// How many conversations there are.
#[utoipa::path(get, path = "/api/conversations/count", tag = "Conversations",
    params(("status" = Option<Status>, Query)),
    responses((status = 200, body = u64, content_type = "application/json")))]
pub(super) async fn count_conversations(
    State(index): State<Index>,
    caller: Caller,
    Query(count): Query<Count>,
) -> ApiResult<Json<usize>> {
    let status = choice("status", count.status.as_deref(), &STATUSES)?;
    Ok(Json(index.count(&caller.tenant, status)))
}

#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct AgentResponse {
    response: String,
}

/// The agent's last word: how it finished, or what it said last; empty if it has said nothing.
#[utoipa::path(get, path = "/api/conversations/{conversation_id}/agent_final_response", tag = "Conversations",
    params(("conversation_id" = Uuid, Path)),
    responses((status = 200, body = AgentResponse), (status = 404, description = "No such conversation"),
        (status = 413, description = "The conversation is too long for it to be looked for")))]
pub(super) async fn get_agent_final_response(
    State(reading): State<Reading>,
    caller: Caller,
    ConversationPath(id): ConversationPath,
) -> ApiResult<Json<AgentResponse>> {
    let entry = reading.get(&caller, id).await?;
    let said = last_word(&reading, &entry).await?;
    Ok(Json(AgentResponse { response: said.unwrap_or_default() }))
}

const TOO_LONG: &str = "This conversation is too long for the agent's last word to be looked for.";

/// The last word of the agent on the branch that the conversation goes on with.
pub(crate) async fn last_word(reading: &Reading, entry: &ConversationState) -> ApiResult<Option<String>> {
    let branch = reading.history.branch(entry).await?;
    match reading.history.newest(entry, &["ActionEvent", "MessageEvent"], branch.as_ref(), word).await {
        Err(ports::Error::TooLarge(_)) => Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, TOO_LONG)),
        newest => Ok(newest?),
    }
}

/// The agent's last word, if an event is one.
fn word(event: &[u8]) -> Option<String> {
    let event: types::Event = serde_json::from_slice(event).ok()?;
    match event.body {
        types::EventBody::ActionEvent(action) if action.tool_name == "finish" => {
            action.action?.get("message")?.as_str().map(str::to_owned)
        }
        types::EventBody::MessageEvent(message) if event.source == types::Source::Agent => {
            Some(types::content::joined_text(&message.llm_message.content))
        }
        _ => None,
    }
}
