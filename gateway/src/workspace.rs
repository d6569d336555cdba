//! The files of a conversation's workspace, as pages a browser shows.

use axum::extract::{FromRef, FromRequestParts, State};
use axum::response::Response;
use control::placement::Workers;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};
use readmodel::index::Index;
use serde::Deserialize;
use types::calls::FileStat;

use crate::auth::Caller;
use crate::described::{Routes, routes};
use crate::error::{ApiError, ApiResult};
use crate::extract::{ConversationPath, Path};
use crate::files;
use crate::scope::Target;

pub fn routes() -> Routes {
    Routes::new()
        .routes(routes!(serve_workspace_root))
        .route("/api/conversations/{conversation_id}/workspace/", axum::routing::get(serve_workspace_root))
        .routes(routes!(serve_workspace_file))
}

/// `index.html` of the workspace.
#[utoipa::path(get, path = "/api/conversations/{conversation_id}/workspace", tag = "Workspace",
    params(("conversation_id" = uuid::Uuid, Path)),
    responses((status = 200, description = "The page"), (status = 404, description = "There is none")))]
async fn serve_workspace_root(
    State(workers): State<Workers>,
    workspace: Workspace,
    headers: HeaderMap,
) -> ApiResult<Response> {
    workspace.serve(&workers, "", &headers).await
}

#[derive(Deserialize)]
struct FilePath {
    file_path: String,
}

/// A file of the workspace; of a directory its `index.html`.
#[utoipa::path(get, path = "/api/conversations/{conversation_id}/workspace/{*file_path}", tag = "Workspace",
    params(("conversation_id" = uuid::Uuid, Path), ("file_path" = String, Path)),
    responses((status = 200, description = "The file"), (status = 304, description = "The client has it"),
        (status = 404, description = "There is none")))]
async fn serve_workspace_file(
    State(workers): State<Workers>,
    workspace: Workspace,
    Path(params): Path<FilePath>,
    headers: HeaderMap,
) -> ApiResult<Response> {
    workspace.serve(&workers, &params.file_path, &headers).await
}

/// The workspace of the conversation in the path.
struct Workspace {
    target: Target,
    root: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Workspace
where
    Index: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let ConversationPath(id) = ConversationPath::from_request_parts(parts, state).await?;
        let caller = Caller::from_request_parts(parts, state).await?;
        let target = Target::of_conversation(&Index::from_ref(state), &caller, id).await?;
        let root =
            target.scope.workspace.as_ref().map(|workspace| workspace.root.clone()).unwrap_or_default();
        Ok(Self { target, root })
    }
}

impl Workspace {
    async fn serve(self, workers: &Workers, path: &str, asked: &HeaderMap) -> ApiResult<Response> {
        let mut path = format!("{}/{path}", self.root.trim_end_matches('/'));
        let mut found = self.find(workers, &path, "File not found").await?;
        if found.is_dir {
            path = format!("{}/index.html", path.trim_end_matches('/'));
            found = self.find(workers, &path, "No index.html in directory").await?;
        }
        if found.is_dir {
            return Err(ApiError::new(StatusCode::NOT_FOUND, "File not found"));
        }
        let kind = content_type(&path);
        files::serve(workers, self.target, path, found, asked, kind).await
    }

    /// What is outside the workspace is not there.
    async fn find(&self, workers: &Workers, path: &str, missing: &'static str) -> ApiResult<FileStat> {
        files::stat(workers, &self.target, path).await.map_err(|error| match error {
            ApiError::Refused { status, .. } if status.is_client_error() => {
                ApiError::new(StatusCode::NOT_FOUND, missing)
            }
            other => other,
        })
    }
}

fn content_type(path: &str) -> HeaderValue {
    let kind = mime_guess::from_path(path).first_or_octet_stream();
    let text = match kind.type_() == mime_guess::mime::TEXT && kind.get_param("charset").is_none() {
        true => format!("{kind}; charset=utf-8"),
        false => kind.to_string(),
    };
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("application/octet-stream"))
}
