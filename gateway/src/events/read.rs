//! Reading stored events.

use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use readmodel::history::{Filter, Order, write_whole};
use serde::Deserialize;
use types::Source;

use super::conversation;
use crate::answer::json_bytes;
use crate::auth::Caller;
use crate::error::{ApiError, ApiResult, Problem};
use crate::extract::{ConversationPath, Json, Path, Query, choice, limit, moment};
use crate::reading::Reading;
use crate::schema::event::{Event, EventPage};
use crate::schema::order::EventSortOrder;

const ORDERS: [(&str, Order); 2] = [("TIMESTAMP", Order::Forward), ("TIMESTAMP_DESC", Order::Backward)];

const SOURCES: [(&str, Source); 4] = [
    ("agent", Source::Agent),
    ("user", Source::User),
    ("environment", Source::Environment),
    ("hook", Source::Hook),
];

#[derive(Deserialize)]
pub(super) struct EventQuery {
    kind: Option<String>,
    source: Option<String>,
    body: Option<String>,
    #[serde(rename = "timestamp__gte")]
    from: Option<String>,
    #[serde(rename = "timestamp__lt")]
    before: Option<String>,
}

impl EventQuery {
    fn filter(self) -> ApiResult<Filter> {
        let source = choice("source", self.source.as_deref(), &SOURCES)?;
        Ok(Filter {
            source,
            from: moment("timestamp__gte", self.from.as_deref())?,
            before: moment("timestamp__lt", self.before.as_deref())?,
            kind: self.kind,
            body: self.body,
        })
    }
}

#[derive(Deserialize)]
pub(super) struct Paging {
    page_id: Option<String>,
    limit: Option<i64>,
    sort_order: Option<String>,
}

/// A page of events, as the log has them.
#[utoipa::path(get, path = "/api/conversations/{conversation_id}/events/search", tag = "Events",
    params(("conversation_id" = Uuid, Path),
        ("page_id" = Option<String>, Query, description = "The first item's id"),
        ("limit" = Option<u64>, Query, minimum = 1, maximum = 100),
        ("kind" = Option<String>, Query), ("source" = Option<Source>, Query), ("body" = Option<String>, Query),
        ("sort_order" = inline(Option<EventSortOrder>), Query),
        ("timestamp__gte" = Option<String>, Query), ("timestamp__lt" = Option<String>, Query)),
    responses((status = 200, body = EventPage),
        (status = 404, description = "No such conversation")))]
pub(super) async fn search_events(
    State(reading): State<Reading>,
    caller: Caller,
    path: ConversationPath,
    Query(paging): Query<Paging>,
    Query(wanted): Query<EventQuery>,
) -> ApiResult<Response> {
    let limit = limit(paging.limit)?;
    let order = choice("sort_order", paging.sort_order.as_deref(), &ORDERS)?.unwrap_or_default();
    let filter = wanted.filter()?;
    let entry = conversation(&reading.index, &caller, path).await?;
    let page = reading.history.search(&entry, &filter, order, paging.page_id.as_deref(), limit).await?;
    let mut out = Vec::with_capacity(page.items.iter().map(|item| item.len() + 1).sum::<usize>() + 80);
    out.extend_from_slice(b"{\"items\":[");
    join(&page.items, &mut out);
    out.extend_from_slice(b"],\"next_page_id\":");
    serde_json::to_writer(&mut out, &page.next)?;
    out.push(b'}');
    Ok(json_bytes(StatusCode::OK, out))
}

fn join(items: &[Bytes], out: &mut Vec<u8>) {
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        out.extend_from_slice(item);
    }
}

/// How many events there are.
#[utoipa::path(get, path = "/api/conversations/{conversation_id}/events/count", tag = "Events",
    params(("conversation_id" = Uuid, Path),
        ("kind" = Option<String>, Query), ("source" = Option<Source>, Query), ("body" = Option<String>, Query),
        ("timestamp__gte" = Option<String>, Query), ("timestamp__lt" = Option<String>, Query)),
    responses((status = 200, body = u64, content_type = "application/json"),
        (status = 404, description = "No such conversation")))]
pub(super) async fn count_events(
    State(reading): State<Reading>,
    caller: Caller,
    path: ConversationPath,
    Query(wanted): Query<EventQuery>,
) -> ApiResult<Json<u64>> {
    let filter = wanted.filter()?;
    let entry = conversation(&reading.index, &caller, path).await?;
    Ok(Json(reading.history.count(&entry, &filter).await?))
}

#[derive(Deserialize)]
pub(super) struct EventPath {
    event_id: String,
}

/// One event, with its unset fields as null.
#[utoipa::path(get, path = "/api/conversations/{conversation_id}/events/{event_id}", tag = "Events",
    params(("conversation_id" = Uuid, Path), ("event_id" = String, Path)),
    responses((status = 200, body = Event), (status = 404, description = "No such conversation or event")))]
pub(super) async fn get_event(
    State(reading): State<Reading>,
    caller: Caller,
    path: ConversationPath,
    Path(EventPath { event_id }): Path<EventPath>,
) -> ApiResult<Response> {
    let entry = conversation(&reading.index, &caller, path).await?;
    let event = reading.history.get(&entry, &event_id).await?.ok_or_else(ApiError::not_found)?;
    let mut out = Vec::with_capacity(event.len());
    write_whole(&event, &mut out)?;
    Ok(json_bytes(StatusCode::OK, out))
}

/// The most ids of one batch, and bytes of its answer.
const MOST_IDS: usize = 100;
const MOST_BYTES: usize = 64 << 20;

/// Several events in the order asked for; null for those that do not exist. The ids are a list in the body.
#[utoipa::path(get, path = "/api/conversations/{conversation_id}/events", tag = "Events",
    params(("conversation_id" = Uuid, Path)), request_body = Vec<String>,
    responses((status = 200, body = Vec<Option<Event>>), (status = 404, description = "No such conversation")))]
pub(super) async fn batch_get_events(
    State(reading): State<Reading>,
    caller: Caller,
    path: ConversationPath,
    Json(ids): Json<Vec<String>>,
) -> ApiResult<Response> {
    let entry = conversation(&reading.index, &caller, path).await?;
    if ids.len() > MOST_IDS {
        return Err(Problem::too_many(&["body"], MOST_IDS).into());
    }
    let mut out = vec![b'['];
    for (i, id) in ids.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        match reading.history.get(&entry, id).await? {
            Some(event) if out.len() + event.len() > MOST_BYTES => {
                let detail = "These events are too large together. Ask for fewer of them.";
                return Err(ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, detail));
            }
            Some(event) => write_whole(&event, &mut out)?,
            None => out.extend_from_slice(b"null"),
        }
    }
    out.push(b']');
    Ok(json_bytes(StatusCode::OK, out))
}
