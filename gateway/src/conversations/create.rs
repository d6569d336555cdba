//! Creating a conversation: all of it or nothing, and once for each id.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use types::ConversationId;
use types::calls::{GitAnswer, GitCall};
use types::conversation::Record;

use super::answer::{Detail, json_bytes, write_info};
use super::control::run_fault;
use super::create_body::{StartConversation, StartConversationRequest};
use super::{first_message, trace_headers, update};
use crate::App;
use crate::calls::reach;
use crate::error::ApiResult;
use crate::extract::{Json, Query, flag};
use crate::index::{ConversationInfo, Created, Entry};
use crate::schema::conversation::TraceHeaders;

/// What making the workspace may take; a conversation without it is still one.
const PREPARING: Duration = Duration::from_secs(20);

#[derive(Deserialize)]
pub(super) struct Shape {
    #[serde(default, deserialize_with = "flag")]
    include_skills: bool,
}

/// Creates a conversation, or answers the one that has the given id.
#[utoipa::path(post, path = "/api/conversations", tag = "Conversations",
    params(("include_skills" = Option<bool>, Query), TraceHeaders), request_body = StartConversationRequest,
    responses((status = 201, body = ConversationInfo<'static>, description = "A new conversation"),
        (status = 200, body = ConversationInfo<'static>, description = "The one with this id"),
        (status = 422, description = "Something in the body cannot be"),
        (status = 429, description = "All run slots are taken")))]
pub(super) async fn start_conversation(
    State(app): State<App>,
    Query(shape): Query<Shape>,
    headers: HeaderMap,
    Json(body): Json<StartConversation>,
) -> ApiResult<Response> {
    app.activity.touch();
    trace_headers::check(&headers)?;
    let given = body.conversation_id.map(ConversationId);
    let detail = Detail { include_skills: shape.include_skills, runtime: false };
    if let Some(entry) = given.and_then(|id| app.index.get(id)) {
        return existing(&app, &entry, detail).await;
    }
    let alone = body.wants_its_own_sandbox();
    let mut record = body.into_record(&app, given.unwrap_or_else(ConversationId::random))?;
    record.sandbox = match record.parent_conversation_id.and_then(|parent| app.index.record(parent)) {
        Some(parent) => parent.sandbox.clone(),
        None => app.sandboxes.of_new(&record, alone).await?,
    };
    if app.sandboxes.are_many() {
        return create_first(app, &record, detail).await;
    }
    let (created, ()) = tokio::join!(app.index.create(&record), prepare(&app, &record));
    let entry = match created? {
        Created::Existing(entry) => return existing(&app, &entry, detail).await,
        Created::New(entry) => entry,
    };
    if let Err(fault) = first_message::deliver(&app, &entry).await {
        // A client that chose the id can try again; to any other the conversation is lost.
        if given.is_none() {
            update::delete(&app, entry.id).await?;
        }
        return Err(run_fault(fault));
    }
    answer(&app, &entry, StatusCode::CREATED, detail)
}

/// As every creation, but a worker may have to be started: the conversation is there before it, and gets its
/// workspace and first message when it comes. Whoever needs the conversation earlier delivers the message first.
async fn create_first(app: App, record: &Record, detail: Detail) -> ApiResult<Response> {
    let entry = match app.index.create(record).await? {
        Created::Existing(entry) => return existing(&app, &entry, detail).await,
        Created::New(entry) => entry,
    };
    let (starting, record) = (app.clone(), record.clone());
    let begun = entry.clone();
    app.tasks.spawn(app.drain.clone().run_until_cancelled_owned(async move {
        prepare(&starting, &record).await;
        if let Err(fault) = first_message::deliver(&starting, &begun).await {
            tracing::warn!(conversation.id = %record.id, %fault, "the first message waits");
        }
    }));
    answer(&app, &entry, StatusCode::CREATED, detail)
}

async fn existing(app: &App, entry: &Arc<Entry>, detail: Detail) -> ApiResult<Response> {
    first_message::deliver(app, entry).await.map_err(run_fault)?;
    answer(app, entry, StatusCode::OK, detail)
}

fn answer(app: &App, entry: &Entry, status: StatusCode, detail: Detail) -> ApiResult<Response> {
    let mut out = Vec::with_capacity(8 * 1024);
    write_info(app, entry, detail, &mut out)?;
    Ok(json_bytes(status, out))
}

/// Makes the workspace. What goes wrong shows when a tool needs it.
async fn prepare(app: &App, record: &Record) {
    let call = GitCall::Prepare { path: record.workspace.working_dir.clone() };
    let prepared = reach::<_, GitAnswer>(app, &record.sandbox, "git", &call, Bytes::new(), PREPARING).await;
    if let Err(fault) = prepared {
        tracing::warn!(conversation.id = %record.id, error = %fault, "the workspace is not prepared");
    }
}
