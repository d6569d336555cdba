//! Creating a conversation: all of it or nothing, and once for each id.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use control::placement::Creation;
use http::{HeaderMap, StatusCode};
use readmodel::index::{ConversationInfo, ConversationState, Created};
use serde::Deserialize;
use types::calls::{GitAnswer, GitCall};
use types::conversation::ConversationRecord;
use types::{ConversationId, TenantId};

use super::answer::{Detail, write_info};
use super::control::run_fault;
use super::create_body::{StartConversation, StartConversationRequest};
use super::{first_message, trace_headers, update};
use crate::App;
use crate::answer::json_bytes;
use crate::auth::Caller;
use crate::error::{ApiError, ApiResult};
use crate::extract::{Json, Query, flag};
use crate::idempotency::Attempt;
use crate::schema::conversation::TraceHeaders;

/// What creation waits for a sandbox that has to be started. Most are there by then.
const MOMENT: Duration = Duration::from_secs(3);

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
        (status = 409, description = "The id cannot be used"),
        (status = 422, description = "Something in the body cannot be"),
        (status = 429, description = "All run slots are taken")))]
pub(super) async fn start_conversation(
    State(app): State<App>,
    caller: Caller,
    attempt: Attempt,
    Query(shape): Query<Shape>,
    headers: HeaderMap,
    Json(body): Json<StartConversation>,
) -> ApiResult<Response> {
    app.activity.touch();
    trace_headers::check(&headers)?;
    let given = body.conversation_id.map(ConversationId);
    let detail = Detail { include_skills: shape.include_skills, runtime: false };
    // One that an earlier attempt made is as new to the client as one that is made now.
    let (id, found) = match given {
        Some(id) => (Some(id), StatusCode::OK),
        None => (attempt.conversation(), StatusCode::CREATED),
    };
    if let Some(entry) = id.and_then(|id| app.index.get(&caller.tenant, id)) {
        return existing(&app, &entry, found, detail).await;
    }
    let alone = body.wants_its_own_sandbox();
    let mut record =
        body.into_record(&app, caller.tenant.clone(), id.unwrap_or_else(ConversationId::random))?;
    let parent = record.parent_conversation_id.and_then(|parent| app.index.record(&caller.tenant, parent));
    record.sandbox = match parent {
        Some(parent) => parent.sandbox.clone(),
        None => app.placement.of_new(&record, alone).await?,
    };
    if app.placement.creation() == Creation::BeforeItsWorker {
        return create_first(app, &record, found, detail).await;
    }
    let (created, ()) = tokio::join!(app.index.create(&record), prepare(&app, &record));
    let entry = match created? {
        Created::Existing(entry) => return theirs(&app, &caller.tenant, &entry, found, detail).await,
        Created::New(entry) => entry,
    };
    if let Err(fault) = first_message::deliver(&app, &entry).await {
        // A client that chose the id, or has a key, can try again; to any other the conversation is lost.
        if id.is_none() {
            update::delete(&app, &caller.tenant, entry.id).await?;
        }
        return Err(run_fault(fault));
    }
    answer(&app, &entry, StatusCode::CREATED, detail)
}

/// As every creation, but a worker may have to be started: the conversation is there before it, and gets its
/// workspace and first message when it comes. Whoever needs the conversation earlier delivers the message first.
async fn create_first(
    app: App,
    record: &ConversationRecord,
    found: StatusCode,
    detail: Detail,
) -> ApiResult<Response> {
    let entry = match app.index.create(record).await? {
        Created::Existing(entry) => return theirs(&app, &record.tenant, &entry, found, detail).await,
        Created::New(entry) => entry,
    };
    // A client may use the workspace as soon as it has the answer: one that is there in a moment is waited for.
    let _ = tokio::time::timeout(MOMENT, begin(&app, &entry)).await;
    answer(&app, &entry, StatusCode::CREATED, detail)
}

/// Goes on when it is not waited for. Ends when the workspace is there.
fn begin(app: &App, entry: &Arc<ConversationState>) -> impl Future<Output = ()> + use<> {
    let (starting, entry) = (app.clone(), entry.clone());
    let (prepared, is_prepared) = tokio::sync::oneshot::channel();
    app.tasks.spawn_until_drain(async move {
        prepare(&starting, &entry.record()).await;
        // Nobody may wait for it.
        let _ = prepared.send(());
        if let Err(fault) = first_message::deliver(&starting, &entry).await {
            tracing::warn!(conversation.id = %entry.id, %fault, "the first message waits");
        }
    });
    async {
        // It ends early with the server.
        let _ = is_prepared.await;
    }
}

/// The conversation that has the id already, if it is the tenant's.
async fn theirs(
    app: &App,
    tenant: &TenantId,
    entry: &Arc<ConversationState>,
    found: StatusCode,
    detail: Detail,
) -> ApiResult<Response> {
    if entry.tenant != *tenant {
        return Err(ApiError::new(StatusCode::CONFLICT, "This id cannot be used"));
    }
    existing(app, entry, found, detail).await
}

async fn existing(
    app: &App,
    entry: &Arc<ConversationState>,
    status: StatusCode,
    detail: Detail,
) -> ApiResult<Response> {
    match app.placement.creation() {
        Creation::BeforeItsWorker => drop(begin(app, entry)),
        Creation::Complete => first_message::deliver(app, entry).await.map_err(run_fault)?,
    }
    answer(app, entry, status, detail)
}

fn answer(app: &App, entry: &ConversationState, status: StatusCode, detail: Detail) -> ApiResult<Response> {
    let mut out = Vec::with_capacity(8 * 1024);
    write_info(app, entry, detail, &mut out)?;
    Ok(json_bytes(status, out))
}

/// Makes the workspace. What goes wrong shows when a tool needs it.
async fn prepare(app: &App, record: &ConversationRecord) {
    let call = GitCall::Prepare { path: record.workspace.working_dir.clone() };
    let prepared = app.workers.call_within::<_, GitAnswer>(&record.sandbox, &call, PREPARING).await;
    if let Err(fault) = prepared {
        tracing::warn!(conversation.id = %record.id, error = %fault, "the workspace is not prepared");
    }
}
