//! Making and listing directories.

use axum::extract::State;
use serde::Deserialize;
use types::calls::{FileCall, HomeListing};
use types::files::{HomeResponse, SubdirectoryPage};

use super::download::PathQuery;
use crate::answer::Success;
use crate::error::ApiResult;
use crate::extract::{Json, Query, flag, limit};
use crate::handles::Files;
use crate::scope::{Aim, Target};

/// Makes a directory and its parents; one that exists is no error.
#[utoipa::path(post, path = "/create_directory", tag = "Files", params(PathQuery),
    responses((status = 200, body = Success), (status = 400, description = "A file is in the way"),
        (status = 403, description = "Not permitted")))]
pub(super) async fn create_directory(
    State(files): State<Files>,
    aim: Aim,
    Query(query): Query<PathQuery>,
) -> ApiResult<Json<Success>> {
    files.activity.touch();
    let target = aim.target(&files.workers).await?;
    let ask = FileCall::MakeDirectory { scope: target.scope, path: query.path };
    let () = files.workers.call(&target.sandbox, &ask).await?;
    Ok(Json(Success::YES))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct HomeQuery {
    #[serde(default, deserialize_with = "flag")]
    #[param(required = false)]
    include_hidden: bool,
}

/// Where a file browser begins.
#[utoipa::path(get, path = "/home", tag = "Files", params(HomeQuery), responses((status = 200, body = HomeResponse)))]
pub(super) async fn get_home_directory(
    State(files): State<Files>,
    target: Target,
    Query(query): Query<HomeQuery>,
) -> ApiResult<Json<HomeResponse>> {
    let ask = FileCall::Home { include_hidden: query.include_hidden };
    let HomeListing { home, favorites, locations } = files.workers.call(&target.sandbox, &ask).await?;
    Ok(Json(HomeResponse { home, favorites, locations }))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct SubdirsQuery {
    /// Absolute.
    path: String,
    /// `next_page_id` of the page before.
    page_id: Option<String>,
    #[param(minimum = 1, maximum = 100, default = 100)]
    limit: Option<i64>,
    #[serde(default, deserialize_with = "flag")]
    #[param(required = false)]
    include_hidden: bool,
}

/// The directories in a directory.
#[utoipa::path(get, path = "/search_subdirs", tag = "Files", params(SubdirsQuery),
    responses((status = 200, body = SubdirectoryPage), (status = 400, description = "No absolute path of a directory"),
        (status = 403, description = "Not permitted"), (status = 404, description = "No such directory")))]
pub(super) async fn search_subdirs(
    State(files): State<Files>,
    target: Target,
    Query(query): Query<SubdirsQuery>,
) -> ApiResult<Json<SubdirectoryPage>> {
    let limit = limit(query.limit)?;
    let SubdirsQuery { path, page_id, include_hidden, .. } = query;
    let ask = FileCall::Subdirectories { path, page_id, limit, include_hidden };
    Ok(Json(files.workers.call(&target.sandbox, &ask).await?))
}
