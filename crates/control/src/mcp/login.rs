//! Logins with MCP servers: begun here, finished by whichever gateway the browser's answer is given to.
//!
//! ```text
//!   start ─▶ the server works as it is ──────────────────────────────▶ succeeded
//!        ├─▶ it asks for a login: authorizing, the job is stored ─┐
//!        └─▶ anything else ───────────────────────────────────────│──▶ failed
//!                                                                 ▼
//!   callback ─▶ of this job? ─▶ taken by one ─▶ code for tokens ─▶ trial with them ─▶ succeeded, failed
//! ```
//!
//! A job is one sealed value on the tenant's shelf, so it outlives the gateway that has begun it, and who finishes it is
//! decided by compare-and-set: a code is good once. After a gateway that dies while it finishes another one may try, some minutes
//! later. An answer that is not of this job changes nothing: a guess must not end somebody's login.

use std::time::Duration;

use ::mcp::oauth::{self, Pending, State, Wish};
use ::mcp::{Error, Remote, probe_remote};
use reqwest::Url;
use serde_json::Value;
use tokio::time::timeout;
use types::TenantId;
use types::mcp::{McpFailure, McpFailureKind, McpFound};
use uuid::Uuid;

use super::came_back::CameBack;
use super::door::Door;
use super::jobs::{Job, McpLogins};
use super::known::Known;
use super::place::Place;
use super::{McpServers, Request, Tried};
use crate::Refusal;
use crate::placement::Creation;
use crate::shelf::Change;

/// A job holds its server, and there are several.
const MOST_SERVER: usize = 16 << 10;
/// Bounds of what is waited for the provider.
const LEAST_WAIT: Duration = Duration::from_secs(1);
const MOST_WAIT: Duration = Duration::from_secs(30);
/// How long who brings a code waits for what comes of it.
pub(super) const WAIT_FOR_END: Duration = Duration::from_secs(5);

/// A login that was begun, or was not needed, or could not be begun.
#[derive(Clone, Debug, PartialEq)]
pub struct Started {
    pub job_id: String,
    pub authorization_url: Option<String>,
    pub failure: Option<McpFailure>,
}

/// Where a login stands.
#[derive(Clone, Debug, PartialEq)]
pub struct JobStatus {
    pub job_id: String,
    pub authorization_url: Option<String>,
    /// Whether an answer of the browser is waited for, or was.
    pub is_callback_ready: bool,
    /// `None`: the user is with the provider.
    pub outcome: Option<Tried>,
}

enum Begun {
    Needless(McpFound, State),
    Pending(Pending),
}

impl McpServers {
    /// Begins a login, unless the server works without a new one.
    ///
    /// # Errors
    /// `Bad` for a server that has no login; `TooLarge`; those of the shelf.
    pub async fn start_login(&self, tenant: &TenantId, request: Request) -> Result<Started, Refusal> {
        if !request.has_login() {
            return Err(Refusal::Bad("MCP OAuth start requires auth.strategy='oauth2'".to_owned()));
        }
        let tool_call = serde_json::to_string(&request.tool_call).map_or(0, |call| call.len());
        if request.server.to_string().len() + tool_call > MOST_SERVER {
            return Err(Refusal::TooLarge("An MCP server that is logged in to may have at most 16 KiB."));
        }
        let _slot = self.slots.take(tenant)?;
        let request = request.opened(&self.sealing(tenant))?;
        let known = State::of(&request.server).client_info;
        let listens = self.workers.placement().creation() == Creation::Complete;
        let door = Door::open(&self.doors, tenant, known.as_ref(), listens)
            .await
            .map_err(|error| ports::Error::Unavailable(error.to_string()))?;
        let wait = request.patience.clamp(LEAST_WAIT, MOST_WAIT);
        let mut known = Known::of(&request.server);
        let begun = timeout(wait, self.begin(&request, &door.redirect, &mut known)).await;
        let mut job = Job { request, pending: None, outcome: None };
        match begun {
            Ok(Ok(Begun::Pending(pending))) => job.pending = Some(pending),
            Ok(Ok(Begun::Needless(found, state))) => {
                job.outcome = Some(known.hidden_in(self.found(tenant, found, &state)?).shortened());
            }
            Ok(Err(error)) => job.outcome = Some(known.hidden_in(Tried::Failed((&error).into()))),
            Err(_) => job.outcome = Some(Tried::Failed(too_slow())),
        }
        let id = Uuid::new_v4().simple().to_string();
        let sealed = job.sealed(&self.sealing(tenant))?;
        self.keep(tenant, |logins| logins.add(&id, sealed.clone())).await?;
        if let (Some(_), Some(listener)) = (&job.pending, door.listener) {
            self.let_browser_in(tenant, &id, door.redirect, listener);
        }
        Ok(Started {
            job_id: id,
            authorization_url: job.pending.map(|pending| pending.url),
            failure: match job.outcome {
                Some(Tried::Failed(failure)) => Some(failure),
                Some(Tried::Found { .. }) | None => None,
            },
        })
    }

    /// # Errors
    /// `Missing`; those of the shelf.
    pub async fn login_status(&self, tenant: &TenantId, id: &str) -> Result<JobStatus, Refusal> {
        Ok(status(id, self.job(tenant, id).await?))
    }

    /// The browser has come back with this URL. What came of it, or, where that takes long, where it stands.
    ///
    /// # Errors
    /// `Missing`, `Bad`, `Taken` where nothing is waited for; those of the shelf.
    pub async fn finish_login(&self, tenant: &TenantId, id: &str, url: &str) -> Result<JobStatus, Refusal> {
        let job = self.job(tenant, id).await?;
        let came_back = CameBack::read(url, job.pending.as_ref())?;
        if came_back == CameBack::Strange {
            let error = "OAuth callback returned HTTP 400".to_owned();
            let failure = McpFailure { kind: McpFailureKind::Connection, error };
            return Ok(JobStatus { outcome: Some(Tried::Failed(failure)), ..status(id, job) });
        }
        let finishing = self.clone().take_and_finish(tenant.clone(), id.to_owned(), job, came_back);
        // It goes on where nobody waits for it any more: whoever has taken it finishes it, and the code is good once.
        if let Ok(finished) = timeout(WAIT_FOR_END, self.tasks.spawn(finishing)).await {
            finished.map_err(|error| ports::Error::Internal(error.to_string()))??;
        }
        self.login_status(tenant, id).await
    }

    async fn job(&self, tenant: &TenantId, id: &str) -> Result<Job, Refusal> {
        let logins = self.shelves.read::<McpLogins>(tenant).await?;
        let sealed = logins.get(id).ok_or_else(|| Refusal::Missing("MCP OAuth job not found".to_owned()))?;
        Job::open(sealed, &self.sealing(tenant))
    }

    async fn begin(&self, request: &Request, redirect: &Url, known: &mut Known) -> Result<Begun, Error> {
        let Place::Remote(remote) = Place::of(&request.server)? else { return Err(Error::Invalid) };
        let state = State::of(&request.server);
        let challenge = match self.try_logged_in(&remote, state.clone(), request, known).await {
            Ok((found, state)) => return Ok(Begun::Needless(found, state)),
            Err(Error::Unauthorized(challenge)) => challenge,
            Err(error) => return Err(error),
        };
        let authentication = request.server.pointer("/auth/authentication").unwrap_or(&Value::Null);
        let (server, client) = (&remote.url, state.client_info);
        let wish = Wish { server, authentication, known: client, challenge, redirect };
        oauth::begin(&self.outbound, wish).await.map(Begun::Pending)
    }

    /// Changes what is kept of logins. Those that make way lose their doors.
    async fn keep(
        &self,
        tenant: &TenantId,
        change: impl Fn(&mut McpLogins) -> Vec<String> + Send + Sync,
    ) -> Result<(), Refusal> {
        let gone =
            self.shelves.change(tenant, |logins: &mut McpLogins| Ok(Change::Write(change(logins)))).await?;
        gone.iter().for_each(|id| self.doors.close(id));
        Ok(())
    }

    /// # Errors
    /// Those of the shelf, as long as nobody has taken it.
    async fn take_and_finish(
        self,
        tenant: TenantId,
        id: String,
        job: Job,
        came_back: CameBack,
    ) -> Result<(), Refusal> {
        let take = |logins: &mut McpLogins| match logins.take(&id) {
            true => Ok(Change::Write(true)),
            false => Ok(Change::Nothing(false)),
        };
        if !self.shelves.change(&tenant, take).await? {
            return Ok(());
        }
        let outcome = match self.finished(&tenant, &job, came_back).await {
            Ok(outcome) => outcome,
            Err(refusal) => {
                tracing::warn!(?refusal, "a login with an MCP server is not finished");
                Tried::Failed(McpFailure {
                    kind: McpFailureKind::Unknown,
                    error: "The login could not be finished.".to_owned(),
                })
            }
        };
        let stored = async {
            let sealed = job.over(outcome.shortened()).sealed(&self.sealing(&tenant))?;
            self.keep(&tenant, |logins| logins.put(&id, &sealed)).await
        };
        if let Err(refusal) = stored.await {
            tracing::warn!(?refusal, "what came of a login with an MCP server is not stored");
        }
        self.doors.close(&id);
        Ok(())
    }

    async fn finished(&self, tenant: &TenantId, job: &Job, came_back: CameBack) -> Result<Tried, Refusal> {
        let code = match came_back {
            CameBack::Code(code) => code,
            CameBack::Refused(why) => {
                let error = format!("The authorization was refused ({why}).");
                return Ok(Tried::Failed(McpFailure { kind: McpFailureKind::Connection, error }));
            }
            CameBack::Strange => return Err(Refusal::Damaged),
        };
        let pending = job.pending.as_ref().ok_or(Refusal::Damaged)?;
        let server = &job.request.server;
        let mut known = Known::of(server);
        let tried = async {
            let state = oauth::finish(&self.outbound, pending, &code).await?;
            known.learn(&state);
            let mut remote = Remote::read(server)?;
            remote.bear(state.access_token().unwrap_or_default())?;
            let (call, patience) = (job.request.tool_call.as_ref(), job.request.patience);
            let found = probe_remote(&self.outbound, &remote, call, patience).await?;
            Ok::<_, Error>((found, state))
        };
        let tried = tried.await;
        Ok(known.hidden_in(match tried {
            Ok((found, state)) => self.found(tenant, found, &state)?,
            Err(error) => Tried::Failed((&error).into()),
        }))
    }
}

fn status(id: &str, job: Job) -> JobStatus {
    JobStatus {
        job_id: id.to_owned(),
        is_callback_ready: job.pending.is_some(),
        authorization_url: job.pending.map(|pending| pending.url),
        outcome: job.outcome,
    }
}

fn too_slow() -> McpFailure {
    let error = "Timed out waiting for OAuth authorization URL".to_owned();
    McpFailure { kind: McpFailureKind::Timeout, error }
}
