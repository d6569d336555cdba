//! Where the routes of commands, files and git act.

use axum::extract::{FromRef, FromRequestParts};
use control::placement::Workers;
use http::Method;
use http::request::Parts;
use readmodel::index::Index;
use types::bash::ExecuteBashRequest;
use types::calls::{Scope, ScopedWorkspace};
use types::{ConversationId, SandboxId, TenantId};

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

impl<S: Send + Sync> FromRequestParts<S> for Target
where
    Index: FromRef<S>,
    Workers: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let caller = Caller::from_request_parts(parts, state).await?;
        match uuid_param(parts, state, "runtime_conversation_id").await? {
            Some(id) => Self::of_conversation(&Index::from_ref(state), &caller, ConversationId(id)).await,
            None => {
                let path = query_values(&parts.uri, "path").pop().unwrap_or_default();
                let workers = Workers::from_ref(state);
                match parts.method {
                    Method::GET | Method::HEAD => Self::seen_at(&workers, &caller.tenant, &path).await,
                    _ => Self::of_path(&workers, &caller.tenant, &path).await,
                }
            }
        }
    }
}

impl Target {
    /// The whole sandbox that an absolute path belongs to; for any other path, the tenant's default one.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn of_path(workers: &Workers, tenant: &TenantId, path: &str) -> Result<Self, ApiError> {
        let sandbox = workers.placement().at(tenant, path).await?;
        Ok(Self { sandbox, scope: Scope::default() })
    }

    /// The same for who only looks: nothing is made for the path.
    async fn seen_at(workers: &Workers, tenant: &TenantId, path: &str) -> Result<Self, ApiError> {
        let sandbox = workers.placement().seen_at(tenant, path).await?;
        Ok(Self { sandbox, scope: Scope::default() })
    }

    /// Where a command runs: without a conversation that goes by its working directory.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn for_command(
        self,
        workers: &Workers,
        caller: &Caller,
        request: &ExecuteBashRequest,
    ) -> Result<Self, ApiError> {
        match &request.cwd {
            Some(cwd) if self.scope.workspace.is_none() => Self::of_path(workers, &caller.tenant, cwd).await,
            _ => Ok(self),
        }
    }

    /// # Errors
    /// 404 for a conversation the caller's tenant has not; those of the store.
    pub async fn of_conversation(
        index: &Index,
        caller: &Caller,
        id: ConversationId,
    ) -> Result<Self, ApiError> {
        let entry = index.find(&caller.tenant, id).await?.ok_or_else(ApiError::not_found)?;
        let record = entry.record();
        let workspace = ScopedWorkspace { conversation: id, root: record.workspace.working_dir.clone() };
        Ok(Self { sandbox: record.sandbox.clone(), scope: Scope { workspace: Some(workspace) } })
    }
}
