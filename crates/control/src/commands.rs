//! Commands that clients run in sandboxes, beside what agents run there.
//!
//! The worker runs them and stores what they print in the sandbox's bash log; whoever waits for a command's end waits
//! for its last record there, and no longer than its worker lives.

use std::time::Duration;

use ports::rpc::{Code, Fault};
use readmodel::bashlog::{EventSummary, Tail, Tails};
use std::sync::Arc;
use types::bash::ExecuteBashRequest;
use types::calls::{BashCall, BashCleared, BashStarted, BashStopped, Scope};
use types::{LogId, SandboxId};
use uuid::Uuid;

use crate::Activity;
use crate::placement::Workers;

/// What a command may take to end after its timeout.
const GRACE: Duration = Duration::from_secs(60);

/// What a worker stored before it ended may still be on its way for so long.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Longer waits than this are not kept.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Cheap to clone.
#[derive(Clone)]
pub struct Commands {
    tails: Tails,
    workers: Workers,
    activity: Activity,
}

impl Commands {
    pub(crate) fn new(tails: Tails, workers: Workers, activity: Activity) -> Self {
        Self { tails, workers, activity }
    }

    /// What commands print there.
    pub fn tail(&self, sandbox: &SandboxId, scope: &Scope) -> Arc<Tail> {
        self.tails.of(LogId::bash(sandbox, scope.bash()))
    }

    /// Starts a command and returns at once.
    ///
    /// # Errors
    /// The worker's fault.
    pub async fn start(
        &self,
        sandbox: &SandboxId,
        scope: Scope,
        request: ExecuteBashRequest,
    ) -> Result<BashStarted, Fault> {
        self.activity.touch();
        self.workers.call(sandbox, &BashCall::Start { scope, request }).await
    }

    /// Runs a command to its end, and answers its outputs in order.
    ///
    /// # Errors
    /// The worker's fault; `Unavailable` when the end is not seen, which may have come all the same.
    pub async fn run(
        &self,
        tail: &Tail,
        sandbox: &SandboxId,
        scope: Scope,
        request: ExecuteBashRequest,
    ) -> Result<Vec<EventSummary>, Fault> {
        let timeout = Duration::from_secs(request.timeout.try_into().unwrap_or(0));
        self.activity.touch();
        let call = BashCall::Start { scope, request };
        // Which worker has begun it, and not which is known to live after that: its lease may be late.
        let (started, worker): (BashStarted, _) = self.workers.call_for(sandbox, &call).await?;
        let placement = self.workers.placement();
        let command = Uuid::parse_str(&started.command.id).map_err(Fault::internal)?;
        let wait = timeout.saturating_add(GRACE).min(LONGEST);
        let unseen = async {
            tokio::select! {
                () = tokio::time::sleep(wait) => "the command's end was not seen in time",
                () = placement.ended(sandbox, worker) => {
                    tokio::time::sleep(LAST_WORDS).await;
                    "the worker ended before the command did"
                }
            }
        };
        let outputs = tokio::select! {
            biased;
            outputs = tail.ended(command, started.seq) => outputs?,
            why = unseen => return Err(Fault::new(Code::Unavailable, why)),
        };
        self.activity.touch();
        Ok(outputs)
    }

    /// Ends a running command; whether it ran.
    ///
    /// # Errors
    /// The worker's fault.
    pub async fn stop(&self, sandbox: &SandboxId, scope: Scope, command: Uuid) -> Result<bool, Fault> {
        self.activity.touch();
        let stop = BashCall::Stop { scope, command_id: command.simple().to_string() };
        let BashStopped { ended } = self.workers.call(sandbox, &stop).await?;
        Ok(ended)
    }

    /// Forgets all commands and what they printed; answers how many events that were.
    ///
    /// # Errors
    /// The worker's fault.
    pub async fn clear(&self, sandbox: &SandboxId, scope: Scope) -> Result<u64, Fault> {
        let cleared: BashCleared = self.workers.call(sandbox, &BashCall::Clear { scope }).await?;
        Ok(cleared.cleared_count)
    }
}
