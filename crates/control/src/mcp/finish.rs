//! The second half of a login with an MCP server, begun by the browser's answer.

use std::time::Duration;

use ::mcp::oauth::{self, State};
use ::mcp::{Error, Remote, probe_remote};
use tokio::time::{Instant, timeout};
use types::TenantId;
use types::mcp::{McpFailure, McpFailureKind, McpFound};

use super::came_back::CameBack;
use super::jobs::{FINISHING, Job, McpLogins};
use super::known::Known;
use super::login::{JobStatus, status};
use super::{McpServers, Tried};
use crate::Refusal;
use crate::shelf::Change;
use crate::slots::Slot;

/// How long who brings a code waits for what comes of it.
pub(super) const WAIT_FOR_END: Duration = Duration::from_secs(5);
/// Of the time for finishing this much is left for what comes around it.
const AROUND: Duration = Duration::from_secs(15);

/// A login that somebody has come back for, and who that is.
struct Finishing {
    tenant: TenantId,
    id: String,
    job: Job,
    came_back: CameBack,
    /// Until when the store may take to be there again: then another one may finish it.
    give_up: Instant,
    /// Nobody's connection holds it back: its place does.
    _slot: Slot,
}

impl McpServers {
    /// The browser has come back with this URL. What came of it, or, where that takes long, where it stands.
    ///
    /// # Errors
    /// `Missing`, `Bad`, `Taken` where nothing is waited for; `Overloaded`, and the code is still good; those of the shelf.
    pub async fn finish_login(&self, tenant: &TenantId, id: &str, url: &str) -> Result<JobStatus, Refusal> {
        let job = self.job(tenant, id).await?;
        let came_back = CameBack::read(url, job.pending.as_ref())?;
        if job.outcome.is_some() {
            return Ok(status(id, job));
        }
        let _slot = self.slots.take(tenant)?;
        let give_up = Instant::now() + FINISHING - AROUND;
        let finishing =
            Finishing { tenant: tenant.clone(), id: id.to_owned(), job, came_back, give_up, _slot };
        // It goes on where nobody waits for it any more: whoever has taken it finishes it, and the code is good once.
        let finished = self.tasks.spawn(self.clone().take_and_finish(finishing));
        if let Ok(finished) = timeout(WAIT_FOR_END, finished).await {
            finished.map_err(|error| ports::Error::Internal(error.to_string()))??;
        }
        self.login_status(tenant, id).await
    }

    /// # Errors
    /// Those of the shelf, as long as nobody has taken it.
    async fn take_and_finish(self, finishing: Finishing) -> Result<(), Refusal> {
        let Finishing { tenant, id, .. } = &finishing;
        let seen = self.seen.of(tenant);
        let take = |logins: &mut McpLogins| {
            let is_taken = logins.take(id, &seen);
            seen.keep_only(&logins.under_way());
            Ok(if is_taken { Change::Write(true) } else { Change::Nothing(false) })
        };
        if !self.shelves.change(tenant, take).await? {
            return Ok(());
        }
        let outcome = self.finished(&finishing).await.unwrap_or_else(|refusal| {
            tracing::warn!(?refusal, "a login with an MCP server is not finished");
            Tried::failed(McpFailure {
                kind: McpFailureKind::Unknown,
                error: "The login could not be finished.".to_owned(),
            })
        });
        let stored = async {
            let sealed = finishing.job.clone().over(outcome.shortened()).sealed(&self.sealing(tenant))?;
            self.keep_at_last(tenant, finishing.give_up, |logins| logins.put(id, &sealed)).await
        };
        if let Err(refusal) = stored.await {
            tracing::warn!(?refusal, "what came of a login with an MCP server is not stored");
        }
        self.doors.close(id);
        Ok(())
    }

    async fn finished(&self, finishing: &Finishing) -> Result<Tried, Refusal> {
        let Finishing { tenant, job, came_back, .. } = finishing;
        let code = match came_back {
            CameBack::Code(code) => code,
            CameBack::Refused(why) => {
                let error = format!("The authorization was refused ({why}).");
                return Ok(Tried::failed(McpFailure { kind: McpFailureKind::Connection, error }));
            }
        };
        let pending = job.pending.as_ref().ok_or(Refusal::Damaged)?;
        let mut known = Known::of(&job.request.server);
        let state = match oauth::finish(&self.outbound, pending, code).await {
            Ok(state) => state,
            Err(error) => return Ok(known.hidden_in(Tried::failed(&error))),
        };
        known.learn(&state);
        let nothing = McpFound { tools: Vec::new(), tool_result: None };
        let logged_in = Tried::Found { found: nothing, oauth_state: self.told(tenant, &state)? };
        self.note(finishing, logged_in.clone()).await;
        let tried = tokio::select! {
            tried = self.tried(job, &state) => tried,
            // Nobody waits for what it has to offer: it is logged in to.
            () = self.tasks.drain.cancelled() => return Ok(logged_in),
        };
        let told = match tried {
            Ok(found) => Tried::Found { found, oauth_state: None },
            Err(error) => Tried::failed(&error),
        };
        let Tried::Found { oauth_state, .. } = logged_in else { return Ok(told) };
        Ok(known.hidden_in(told.with_login(oauth_state)))
    }

    /// The code is spent: should nothing more come of it, its tokens are there.
    async fn note(&self, finishing: &Finishing, logged_in: Tried) {
        let Finishing { tenant, id, job, give_up, .. } = finishing;
        let noted = async {
            let sealed = job.clone().over(logged_in).sealed(&self.sealing(tenant))?;
            self.keep_at_last(tenant, *give_up, |logins| logins.note(id, &sealed)).await
        };
        if let Err(refusal) = noted.await {
            tracing::warn!(?refusal, "the tokens of a login with an MCP server are not noted");
        }
    }

    async fn tried(&self, job: &Job, state: &State) -> Result<McpFound, Error> {
        let mut remote = Remote::read(&job.request.server)?;
        if let Some(token) = state.access_token() {
            remote.bear(token)?;
        }
        let (call, patience) = (job.request.tool_call.as_ref(), job.request.patience);
        probe_remote(&self.outbound, &remote, call, patience).await
    }
}
