//! Looking at what commands printed.

use axum::extract::State;
use axum::response::Response;
use control::commands::Commands;
use http::StatusCode;
use readmodel::bashlog::{Kind, Query as Wanted, unless_cleared};
use serde::Deserialize;
use types::time::bound_as_utc;
use uuid::Uuid;

use super::page;
use crate::answer::json_bytes;
use crate::error::{ApiError, ApiResult, Problem};
use crate::extract::{Json, Path, Query, limit, optional_uuid};
use crate::schema::bash::{BashEvent, BashEventPage};
use crate::scope::Target;

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Search {
    /// Only events of this kind.
    #[serde(rename = "kind__eq")]
    #[param(inline)]
    kind_eq: Option<EventKind>,
    /// Only outputs of this command.
    #[serde(rename = "command_id__eq", default, deserialize_with = "optional_uuid")]
    command_id_eq: Option<Uuid>,
    /// Only events of this time or later; without an offset it is UTC.
    #[serde(rename = "timestamp__gte")]
    timestamp_gte: Option<String>,
    /// Only events before this time; without an offset it is UTC.
    #[serde(rename = "timestamp__lt")]
    timestamp_lt: Option<String>,
    /// Only outputs whose `order` is greater; commands are not filtered.
    #[serde(rename = "order__gt")]
    order_gt: Option<i64>,
    #[serde(default)]
    #[param(required = false, inline)]
    sort_order: BashEventSortOrder,
    /// `next_page_id` of the page before.
    page_id: Option<String>,
    #[param(minimum = 1, maximum = 100, default = 100)]
    limit: Option<i64>,
}

#[derive(Clone, Copy, Deserialize, utoipa::ToSchema)]
enum EventKind {
    BashCommand,
    BashOutput,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum BashEventSortOrder {
    #[default]
    Timestamp,
    TimestampDesc,
}

/// Searches commands and their outputs.
#[utoipa::path(get, path = "/bash_events/search", tag = "Bash", params(Search),
    responses((status = 200, body = BashEventPage), (status = 422, description = "Invalid parameter")))]
pub(super) async fn search_bash_events(
    State(commands): State<Commands>,
    target: Target,
    Query(search): Query<Search>,
) -> ApiResult<Response> {
    let query = search.check()?;
    let tail = commands.tail(&target.sandbox, &target.scope);
    let read = || async { page::answer(&tail, tail.search(&query).await?).await };
    Ok(unless_cleared(read).await?)
}

impl Search {
    fn check(self) -> ApiResult<Wanted> {
        let kind = self.kind_eq.map(|kind| match kind {
            EventKind::BashCommand => Kind::BashCommand,
            EventKind::BashOutput => Kind::BashOutput,
        });
        Ok(Wanted {
            kind,
            command: self.command_id_eq,
            from: bound("timestamp__gte", self.timestamp_gte)?,
            until: bound("timestamp__lt", self.timestamp_lt)?,
            order_above: self.order_gt,
            newest_first: self.sort_order == BashEventSortOrder::TimestampDesc,
            cursor: self.page_id.and_then(|cursor| Uuid::parse_str(&cursor).ok()),
            limit: limit(self.limit)?,
        })
    }
}

fn bound(name: &str, text: Option<String>) -> ApiResult<Option<String>> {
    let Some(text) = text else { return Ok(None) };
    match bound_as_utc(&text) {
        Some(bound) => Ok(Some(bound)),
        None => {
            Err(Problem::new("datetime_parsing", &["query", name], "Input should be a valid datetime").into())
        }
    }
}

/// One event.
#[utoipa::path(get, path = "/bash_events/{event_id}", tag = "Bash", params(("event_id" = String, Path)),
    responses((status = 200, body = BashEvent), (status = 404, description = "There is no such event")))]
pub(super) async fn get_bash_event(
    State(commands): State<Commands>,
    target: Target,
    Path(params): Path<EventPath>,
) -> ApiResult<Response> {
    let id = Uuid::parse_str(&params.event_id).map_err(|_| ApiError::not_found())?;
    let record =
        commands.tail(&target.sandbox, &target.scope).find(id).await?.ok_or_else(ApiError::not_found)?;
    Ok(json_bytes(StatusCode::OK, record))
}

#[derive(Deserialize)]
pub(super) struct EventPath {
    event_id: String,
}

/// Several events; null for those that do not exist.
#[utoipa::path(get, path = "/bash_events/", tag = "Bash", request_body = Vec<String>,
    responses((status = 200, body = Vec<Option<BashEvent>>), (status = 422, description = "No list of ids")))]
pub(super) async fn batch_get_bash_events(
    State(commands): State<Commands>,
    target: Target,
    Json(ids): Json<Vec<String>>,
) -> ApiResult<Response> {
    if ids.len() > 100 {
        return Err(Problem::too_many(&["body"], 100).into());
    }
    let tail = commands.tail(&target.sandbox, &target.scope);
    let ids: Vec<Option<Uuid>> = ids.iter().map(|id| Uuid::parse_str(id).ok()).collect();
    let known: Vec<Uuid> = ids.iter().flatten().copied().collect();
    let read = || async {
        let found = tail.find_all(&known).await?;
        page::answer_list(&tail, ids.iter().map(|id| found.get(&(*id)?).copied()).collect()).await
    };
    Ok(unless_cleared(read).await?)
}
