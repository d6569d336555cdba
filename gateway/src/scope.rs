//! Where the routes of commands, files and git act.

use axum::extract::{FromRef, FromRequestParts};
use control::placement::Workers;
use http::request::Parts;
use readmodel::index::Index;
use types::bash::ExecuteBashRequest;
use types::calls::{Scope, ScopedWorkspace};
use types::{ConversationId, SandboxId, TenantId};

use crate::auth::Caller;
use crate::error::ApiError;
use crate::extract::{query_values, uuid_param};

/// Where a bash, file or git route looks: below `/api/conversations/{runtime_conversation_id}` in that
/// conversation's workspace, else in the whole sandbox of the path that the query names.
#[derive(Clone, Debug)]
pub struct Target {
    pub sandbox: SandboxId,
    pub scope: Scope,
}

/// Where a route acts that changes something. A path that has no sandbox gets one, and not before it is known what is to be done: a
/// request that is refused leaves none.
pub struct Aim {
    tenant: TenantId,
    place: Place,
}

enum Place {
    Conversation(Target),
    Path(String),
}

impl<S: Send + Sync> FromRequestParts<S> for Target
where
    Index: FromRef<S>,
    Workers: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Aim { tenant, place } = Aim::from_request_parts(parts, state).await?;
        match place {
            Place::Conversation(target) => Ok(target),
            Place::Path(path) => Self::seen_at(&Workers::from_ref(state), &tenant, &path).await,
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Aim
where
    Index: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let caller = Caller::from_request_parts(parts, state).await?;
        let place = match uuid_param(parts, state, "runtime_conversation_id").await? {
            Some(id) => {
                let index = Index::from_ref(state);
                Place::Conversation(Target::of_conversation(&index, &caller, ConversationId(id)).await?)
            }
            None => Place::Path(query_values(&parts.uri, "path").pop().unwrap_or_default()),
        };
        Ok(Self { tenant: caller.tenant, place })
    }
}

impl Aim {
    /// Where it is, from now on.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn target(self, workers: &Workers) -> Result<Target, ApiError> {
        match self.place {
            Place::Conversation(target) => Ok(target),
            Place::Path(path) => Target::of_path(workers, &self.tenant, &path).await,
        }
    }

    /// The same of a command, which without a conversation goes by its working directory.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn of_command(
        self,
        workers: &Workers,
        request: &ExecuteBashRequest,
    ) -> Result<Target, ApiError> {
        match (self.place, &request.cwd) {
            (Place::Path(_), Some(cwd)) => Target::of_path(workers, &self.tenant, cwd).await,
            (place, _) => Self { tenant: self.tenant, place }.target(workers).await,
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
