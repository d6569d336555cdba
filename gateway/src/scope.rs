use axum::extract::FromRequestParts;
use http::request::Parts;
use types::calls::{Scope, ScopedWorkspace};
use types::{ConversationId, SandboxId};

use crate::App;
use crate::auth::Caller;
use crate::error::ApiError;
use crate::extract::uuid_param;
use crate::tenants::default_sandbox;

/// Where a bash, file or git route acts: below `/api/conversations/{runtime_conversation_id}` in that
/// conversation's workspace, else in all of the tenant's default sandbox.
#[derive(Clone, Debug)]
pub struct Place {
    pub sandbox: SandboxId,
    pub scope: Scope,
}

impl FromRequestParts<App> for Place {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let caller = Caller::from_request_parts(parts, app).await?;
        match uuid_param(parts, app, "runtime_conversation_id").await? {
            Some(id) => Self::of_conversation(app, &caller, ConversationId(id)),
            None => Ok(Self { sandbox: default_sandbox(&caller.tenant), scope: Scope::default() }),
        }
    }
}

impl Place {
    /// # Errors
    /// 404 for a conversation the caller's tenant has not.
    pub fn of_conversation(app: &App, caller: &Caller, id: ConversationId) -> Result<Self, ApiError> {
        let record = app.index.record(&caller.tenant, id).ok_or_else(ApiError::not_found)?;
        let workspace = ScopedWorkspace { conversation: id, root: record.workspace.working_dir.clone() };
        Ok(Self { sandbox: record.sandbox.clone(), scope: Scope { workspace: Some(workspace) } })
    }
}
