//! Programs that extensions of the user interface bring along: their worker runs them, on a server of one process. In a cluster
//! nobody could reach them, and none runs.

mod installed;

use std::time::Duration;

use ports::rpc::{Code, Fault, Reason};
use types::TenantId;
use types::app::{App, AppLogs, AppPhase, AppState};
use types::calls::{AppAnswer, AppCall};

use crate::Refusal;
use crate::extensions::Extensions;
use crate::ground::Ground;
use crate::placement::{Creation, Workers};

const MISSING: &str = "Canvas App is not installed or its manifest is invalid";
const ONE_PROCESS: &str = "App back ends run on a server of one process.";

const USUAL: Duration = Duration::from_secs(60);
/// To fetch and unpack a program.
const PREPARING: Duration = Duration::from_secs(10 * 60);
/// A program may take five minutes to get ready.
const STARTING: Duration = Duration::from_secs(330);

/// Programs that extensions of the user interface bring along. Cheap to clone.
#[derive(Clone)]
pub struct Apps {
    workers: Workers,
    extensions: Extensions,
}

impl Apps {
    pub(crate) fn new(ground: &Ground) -> Self {
        Self { workers: ground.workers.clone(), extensions: Extensions::new(ground) }
    }

    /// Where the program of an extension stands.
    ///
    /// # Errors
    /// Those of the store and of the worker.
    pub async fn status(&self, tenant: &TenantId, name: &str) -> Result<AppState, Refusal> {
        self.of_installed(tenant, name, |app| AppCall::Status { app }).await
    }

    /// Makes ready what the user has approved.
    ///
    /// # Errors
    /// The worker's `Conflict` with the reason; as [`Apps::status`].
    pub async fn prepare(&self, tenant: &TenantId, name: &str, revision: &str) -> Result<AppState, Refusal> {
        let call = |app| AppCall::Prepare { app, revision: revision.to_owned() };
        let prepared = self.of_installed(tenant, name, call).await?;
        if prepared.state == AppPhase::Missing {
            return Ok(prepared);
        }
        // Its worker may have been told that it is gone before it was told to make it ready.
        if installed::find(&self.extensions, tenant, name).await?.is_none() {
            self.forget(tenant, name).await?;
            return Ok(nothing(name, AppPhase::Missing, None, MISSING));
        }
        Ok(prepared)
    }

    /// Starts what is ready.
    ///
    /// # Errors
    /// As [`Apps::prepare`].
    pub async fn start(&self, tenant: &TenantId, name: &str, revision: &str) -> Result<AppState, Refusal> {
        self.of_installed(tenant, name, |app| AppCall::Start { app, revision: revision.to_owned() }).await
    }

    /// Also of an extension that is not there any more.
    ///
    /// # Errors
    /// Those of the worker.
    pub async fn stop(&self, tenant: &TenantId, name: &str) -> Result<(), Refusal> {
        self.glance(tenant, &AppCall::Stop { name: name.to_owned() }).await.map(drop)
    }

    /// Stops the program of an extension that is another one now or gone, and removes it with what was approved. What it has
    /// written stays.
    ///
    /// # Errors
    /// Those of the worker.
    pub async fn forget(&self, tenant: &TenantId, name: &str) -> Result<(), Refusal> {
        self.glance(tenant, &AppCall::Forget { name: name.to_owned() }).await.map(drop)
    }

    /// What the program has printed last.
    ///
    /// # Errors
    /// Those of the worker.
    pub async fn logs(&self, tenant: &TenantId, name: &str, limit_bytes: usize) -> Result<AppLogs, Refusal> {
        match self.glance(tenant, &AppCall::Logs { name: name.to_owned(), limit_bytes }).await? {
            Some(AppAnswer::Logs(logs)) => Ok(logs),
            Some(_) => Err(strange()),
            None => Ok(AppLogs { name: name.to_owned(), logs: String::new(), truncated: false }),
        }
    }

    /// Removes what the program has written.
    ///
    /// # Errors
    /// The worker's `Conflict` where it runs; as [`Apps::status`].
    pub async fn delete_data(&self, tenant: &TenantId, name: &str) -> Result<AppState, Refusal> {
        self.of_installed(tenant, name, |app| AppCall::DeleteData { app }).await
    }

    /// The port of a program that is ready.
    ///
    /// # Errors
    /// Those of the worker.
    pub async fn endpoint(&self, tenant: &TenantId, name: &str) -> Result<Option<u16>, Refusal> {
        match self.glance(tenant, &AppCall::Endpoint { name: name.to_owned() }).await? {
            Some(AppAnswer::Endpoint(port)) => Ok(port),
            Some(_) => Err(strange()),
            None => Ok(None),
        }
    }

    /// Whether any program of the tenant runs.
    ///
    /// # Errors
    /// Those of the worker.
    pub async fn are_running(&self, tenant: &TenantId) -> Result<bool, Refusal> {
        match self.glance(tenant, &AppCall::Running {}).await? {
            Some(AppAnswer::Running(are_running)) => Ok(are_running),
            Some(_) => Err(strange()),
            None => Ok(false),
        }
    }

    fn runs_any(&self) -> bool {
        self.workers.placement().creation() == Creation::Complete
    }

    async fn of_installed(
        &self,
        tenant: &TenantId,
        name: &str,
        call: impl FnOnce(App) -> AppCall,
    ) -> Result<AppState, Refusal> {
        let Some(app) = installed::find(&self.extensions, tenant, name).await? else {
            return Ok(nothing(name, AppPhase::Missing, None, MISSING));
        };
        if !self.runs_any() {
            return Ok(nothing(name, AppPhase::Unsupported, Some(app.revision), ONE_PROCESS));
        }
        match self.ask(tenant, &call(app)).await? {
            AppAnswer::State(state) => Ok(state),
            _ => Err(strange()),
        }
    }

    async fn ask(&self, tenant: &TenantId, call: &AppCall) -> Result<AppAnswer, Refusal> {
        let patience = match call {
            AppCall::Prepare { .. } => PREPARING,
            AppCall::Start { .. } => STARTING,
            AppCall::Status { .. }
            | AppCall::Stop { .. }
            | AppCall::Forget { .. }
            | AppCall::Logs { .. }
            | AppCall::DeleteData { .. }
            | AppCall::Endpoint { .. }
            | AppCall::Running {} => USUAL,
        };
        let sandbox = self.workers.placement().at(tenant, "").await?;
        Ok(self.workers.call_within(&sandbox, call, patience).await?)
    }

    /// Asks a worker that is awake: `None` where there is none, and so no program.
    async fn glance(&self, tenant: &TenantId, call: &AppCall) -> Result<Option<AppAnswer>, Refusal> {
        if !self.runs_any() {
            return Ok(None);
        }
        let sandbox = self.workers.placement().seen_at(tenant, "").await?;
        match self.workers.call_if_awake(&sandbox, call, USUAL).await {
            Ok((answer, _)) => Ok(Some(answer)),
            Err(fault) if fault.code == Code::Absent => Ok(None),
            Err(fault) => Err(fault.into()),
        }
    }
}

fn nothing(name: &str, state: AppPhase, revision: Option<String>, detail: &str) -> AppState {
    AppState {
        name: name.to_owned(),
        state,
        revision,
        prepared_revision: None,
        pid: None,
        port: None,
        detail: Some(detail.to_owned()),
    }
}

/// A worker that answers something else than it was asked is of another release.
fn strange() -> Refusal {
    Fault::from(Reason::OtherRelease).into()
}
