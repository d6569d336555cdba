//! Logins with MCP servers: begun here, finished (`finish`) by whichever gateway the browser's answer is given to.
//!
//! ```text
//!   start ─▶ the server works as it is ──────────────────────────────▶ succeeded
//!        ├─▶ it asks for a login: authorizing, the job is stored ─┐
//!        └─▶ anything else ───────────────────────────────────────│──▶ failed
//!                                                                 ▼
//!   callback ─▶ of this job? ─▶ a place free? ─▶ taken by one ─▶ code for tokens, noted ─▶ trial with them ─▶ succeeded, failed
//! ```
//!
//! A job is one sealed value on the tenant's shelf, so it outlives the gateway that has begun it, and who finishes it is
//! decided by compare-and-set: a code is good once. So the tokens for it are noted before anything else is done with them. After
//! a gateway that dies before that another one may try, some minutes later; after one that dies afterwards the login has
//! succeeded, some minutes later. An answer that is not of this job changes nothing: a guess must not end somebody's login.
//!
//! Work of a tenant is bounded by its places (`Slots`), for it goes on where its client hangs up. All that is waited for has an
//! end, but tokens that are being renewed are waited for in any case, and told also where the server then does not work. Where the
//! store is away when there are tokens to keep, they are kept when it is back.

use std::time::Duration;

use ::mcp::Error;
use ::mcp::oauth::{self, Pending, State, Wish};
use reqwest::Url;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout_at};
use types::TenantId;
use types::mcp::{McpFailure, McpFailureKind, McpFound};
use uuid::Uuid;

use super::door::Door;
use super::jobs::{Job, McpLogins};
use super::known::Known;
use super::place::Place;
use super::trial::Unusable;
use super::{McpServers, Request, Tried};
use crate::Refusal;
use crate::placement::Creation;
use crate::shelf::{Change, Kept as _};

/// A job holds its server, and there are several.
const MOST_SERVER: usize = 16 << 10;
/// Bounds of what is waited for the provider.
const LEAST_WAIT: Duration = Duration::from_secs(1);
const MOST_WAIT: Duration = Duration::from_secs(30);
/// Between two tries to keep what came of a login.
const PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

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
    Needless(McpFound),
    Pending(Box<Pending>),
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
        let before = State::of(&request.server);
        let listens = self.workers.placement().creation() == Creation::Complete;
        let door = Door::find(&self.doors, tenant, before.client_info.as_ref(), listens)
            .await
            .map_err(|error| ports::Error::Unavailable(error.to_string()))?;
        let (mut state, mut known) = (before.clone(), Known::of(&request.server));
        let begun = self.begin(tenant, &request, &door.redirect, &mut state, &mut known).await;
        let mut job = Job { request, pending: None, outcome: None };
        match begun {
            Ok(Begun::Pending(pending)) => job.pending = Some(*pending),
            Ok(Begun::Needless(found)) => {
                let found = Tried::Found { found, oauth_state: self.told(tenant, &state)? };
                job.outcome = Some(known.hidden_in(found).shortened());
            }
            Err(Unusable::Here(refusal)) => return Err(refusal),
            Err(Unusable::Fails(error) | Unusable::AsksForLogin(error, _)) => {
                let failed = Tried::failed(failure(&error));
                let failed = failed.with_login(self.told_if_new(tenant, &before, &state)?);
                job.outcome = Some(known.hidden_in(failed));
            }
        }
        let id = Uuid::new_v4().simple().to_string();
        let sealed = job.sealed(&self.sealing(tenant))?;
        // Tokens that were renewed are nowhere else.
        let give_up = Instant::now() + if state == before { Duration::ZERO } else { MOST_WAIT };
        self.keep_at_last(tenant, give_up, |logins| logins.add(&id, sealed.clone())).await?;
        let redirect = job.pending.as_ref().and_then(|pending| Url::parse(&pending.redirect).ok());
        if let Some(redirect) = redirect
            && let Some(listener) = door.open(&self.doors, tenant).await
        {
            self.let_browser_in(tenant, &id, redirect, listener);
        }
        Ok(Started {
            job_id: id,
            authorization_url: job.pending.map(|pending| pending.url),
            failure: match job.outcome {
                Some(Tried::Failed { failure, .. }) => Some(failure),
                Some(Tried::Found { .. }) | None => None,
            },
        })
    }

    /// # Errors
    /// `Missing`; those of the shelf.
    pub async fn login_status(&self, tenant: &TenantId, id: &str) -> Result<JobStatus, Refusal> {
        Ok(status(id, self.job(tenant, id).await?))
    }

    /// As it is, but that what has come of it so far is not told while somebody is about to finish it.
    pub(super) async fn job(&self, tenant: &TenantId, id: &str) -> Result<Job, Refusal> {
        let logins = self.shelves.read::<McpLogins>(tenant).await?;
        let Some((sealed, is_held)) = logins.get(id) else {
            self.drop_what_is_over(tenant).await?;
            return Err(Refusal::Missing("MCP OAuth job not found".to_owned()));
        };
        let job = Job::open(sealed, &self.sealing(tenant))?;
        Ok(Job { outcome: job.outcome.filter(|_| !is_held), ..job })
    }

    async fn drop_what_is_over(&self, tenant: &TenantId) -> Result<(), Refusal> {
        let drop = |logins: &mut McpLogins| match logins.drop_what_is_over() {
            true => Ok(Change::Write(())),
            false => Ok(Change::Nothing(())),
        };
        self.shelves.change(tenant, drop).await
    }

    async fn begin(
        &self,
        tenant: &TenantId,
        request: &Request,
        redirect: &Url,
        state: &mut State,
        known: &mut Known,
    ) -> Result<Begun, Unusable> {
        let give_up = Instant::now() + request.patience.clamp(LEAST_WAIT, MOST_WAIT);
        let Place::Remote(remote) = Place::of(&request.server)? else { return Err(Error::Invalid.into()) };
        let challenge = match self.try_logged_in(tenant, &remote, state, request, known, give_up).await {
            Ok(found) => return Ok(Begun::Needless(found)),
            Err(Unusable::AsksForLogin(_, challenge)) => *challenge,
            Err(other) => return Err(other),
        };
        let authentication = request.server.pointer("/auth/authentication").unwrap_or(&Value::Null);
        let (server, client) = (&remote.url, state.client_info.clone());
        let wish = Wish { server, authentication, known: client, challenge, redirect };
        let begun = timeout_at(give_up, oauth::begin(&self.outbound, wish)).await;
        let pending = begun.unwrap_or(Err(Error::TooSlow(request.patience)))?;
        Ok(Begun::Pending(Box::new(pending)))
    }

    /// As [`McpServers::keep`], until the store is there to take it: what is to be kept is nowhere else.
    ///
    /// # Errors
    /// Those of the shelf, those of the store only from then on.
    pub(super) async fn keep_at_last(
        &self,
        tenant: &TenantId,
        give_up: Instant,
        change: impl Fn(&mut McpLogins) -> Vec<String> + Send + Sync,
    ) -> Result<(), Refusal> {
        let mut pause = PAUSE;
        loop {
            match self.keep(tenant, &change).await {
                Err(Refusal::Fault(fault)) if Instant::now() < give_up => {
                    tracing::warn!(?fault, "what came of a login is kept once the store takes it");
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                kept => return kept,
            }
        }
    }

    /// Changes what is kept of logins. Those that make way lose their doors.
    pub(super) async fn keep(
        &self,
        tenant: &TenantId,
        change: impl Fn(&mut McpLogins) -> Vec<String> + Send + Sync,
    ) -> Result<(), Refusal> {
        let gone =
            self.shelves.change(tenant, |logins: &mut McpLogins| Ok(Change::Write(change(logins)))).await?;
        gone.iter().for_each(|id| self.doors.close(id));
        Ok(())
    }
}

pub(super) fn status(id: &str, job: Job) -> JobStatus {
    JobStatus {
        job_id: id.to_owned(),
        is_callback_ready: job.pending.is_some(),
        authorization_url: job.pending.map(|pending| pending.url),
        outcome: job.outcome,
    }
}

fn failure(error: &Error) -> McpFailure {
    match error {
        Error::TooSlow(_) => McpFailure {
            kind: McpFailureKind::Timeout,
            error: "Timed out waiting for OAuth authorization URL".to_owned(),
        },
        error => error.into(),
    }
}
