use axum::extract::FromRequestParts;
use http::request::Parts;
use ports::LogId;
use types::bash::ExecuteBashRequest;
use types::calls::{Scope, ScopedWorkspace};
use types::{ConversationId, SandboxId, TenantId};

use crate::App;
use crate::auth::Caller;
use crate::error::ApiError;
use crate::extract::{query_values, uuid_param};

/// Where a bash, file or git route acts: below `/api/conversations/{runtime_conversation_id}` in that
/// conversation's workspace, else in the whole sandbox of the path that the query names.
#[derive(Clone, Debug)]
pub struct Target {
    pub sandbox: SandboxId,
    pub scope: Scope,
}

impl FromRequestParts<App> for Target {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let caller = Caller::from_request_parts(parts, app).await?;
        match uuid_param(parts, app, "runtime_conversation_id").await? {
            Some(id) => Self::of_conversation(app, &caller, ConversationId(id)),
            None => {
                let path = query_values(&parts.uri, "path").pop().unwrap_or_default();
                Self::of_path(app, &caller.tenant, &path).await
            }
        }
    }
}

impl Target {
    /// The whole sandbox that an absolute path belongs to; for any other path, the tenant's default one.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn of_path(app: &App, tenant: &TenantId, path: &str) -> Result<Self, ApiError> {
        let sandbox = app.placement.at(tenant, path).await?;
        Ok(Self { sandbox, scope: Scope::default() })
    }

    /// Where a command runs: without a conversation that goes by its working directory.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn for_command(
        self,
        app: &App,
        caller: &Caller,
        request: &ExecuteBashRequest,
    ) -> Result<Self, ApiError> {
        match &request.cwd {
            Some(cwd) if self.scope.workspace.is_none() => Self::of_path(app, &caller.tenant, cwd).await,
            _ => Ok(self),
        }
    }

    /// The log of what commands print here.
    #[must_use]
    pub fn bash_log(&self) -> LogId {
        LogId::bash(&self.sandbox, self.scope.bash())
    }

    /// # Errors
    /// 404 for a conversation the caller's tenant has not.
    pub fn of_conversation(app: &App, caller: &Caller, id: ConversationId) -> Result<Self, ApiError> {
        let record = app.index.record(&caller.tenant, id).ok_or_else(ApiError::not_found)?;
        let workspace = ScopedWorkspace { conversation: id, root: record.workspace.working_dir.clone() };
        Ok(Self { sandbox: record.sandbox.clone(), scope: Scope { workspace: Some(workspace) } })
    }
}
