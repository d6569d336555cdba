//! On which workspace an editor is opened.

use std::path::{Component, Path};

use axum::extract::{FromRef, FromRequestParts};
use control::placement::Workers;
use http::request::Parts;
use readmodel::index::Index;
use types::{ConversationId, SandboxId};

use crate::auth::Caller;
use crate::error::ApiError;
use crate::extract::uuid_param;

const OUTSIDE: &str = "workspace_dir must be inside the conversation workspace";

/// Below `/api/conversations/{runtime_conversation_id}` that conversation's workspace, else all of the tenant's sandbox.
pub struct Place {
    pub sandbox: SandboxId,
    workspace: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Place
where
    Index: FromRef<S>,
    Workers: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let caller = Caller::from_request_parts(parts, state).await?;
        let Some(id) = uuid_param(parts, state, "runtime_conversation_id").await? else {
            let sandbox = Workers::from_ref(state).placement().at(&caller.tenant, "").await?;
            return Ok(Self { sandbox, workspace: None });
        };
        let record = Index::from_ref(state).record(&caller.tenant, ConversationId(id));
        let unknown = || ApiError::new(http::StatusCode::NOT_FOUND, format!("Conversation not found: {id}"));
        let record = record.ok_or_else(unknown)?;
        Ok(Self { sandbox: record.sandbox.clone(), workspace: Some(record.workspace.working_dir.clone()) })
    }
}

impl Place {
    /// The folder to open.
    ///
    /// # Errors
    /// 422 for one outside of the conversation's workspace.
    pub fn folder(&self, wanted: Option<String>) -> Result<String, ApiError> {
        let Some(workspace) = &self.workspace else {
            return Ok(wanted.unwrap_or_else(|| "workspace".to_owned()));
        };
        match wanted {
            None => Ok(workspace.clone()),
            Some(wanted) if is_inside(Path::new(&wanted), Path::new(workspace)) => Ok(wanted),
            Some(_) => Err(ApiError::unprocessable(OUTSIDE)),
        }
    }
}

/// By the texts alone: what is a link is the editor's to follow, which reaches all that commands do.
fn is_inside(path: &Path, workspace: &Path) -> bool {
    let goes_up = path.components().any(|part| part == Component::ParentDir);
    path.is_absolute() && !goes_up && path.starts_with(workspace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_outside_of_a_workspace_is_not_inside() {
        let workspace = Path::new("/w/one");
        for inside in ["/w/one", "/w/one/", "/w/one/a/b"] {
            assert!(is_inside(Path::new(inside), workspace), "{inside}");
        }
        for outside in ["/w", "/w/onetwo", "w/one", "", "/w/one/../two", "/etc"] {
            assert!(!is_inside(Path::new(outside), workspace), "{outside}");
        }
    }
}
