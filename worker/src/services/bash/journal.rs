//! Bash events on their way into the logs, and out of them: what commands, and who clears or forgets, ask of the
//! [`writers`], which store together whatever waits.

mod patient;
mod record;
mod refusal;
mod store;
mod writers;

use std::sync::Arc;

use parking_lot::Mutex;
use ports::EventLog;
use ports::log::Pages;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use types::bash::BashEvent;
use types::{BashScope, Epoch, LogId, SandboxId, Seq};

pub(super) use refusal::{Refusal, Result};
use writers::Writers;

/// Records of one read, where a command is looked for.
const PAGE: usize = 1_000;

pub(super) struct Journals {
    log: Arc<dyn EventLog>,
    sandbox: SandboxId,
    writers: Arc<Writers>,
}

pub(super) type IsRunning = Arc<dyn Fn(BashScope, &str) -> bool + Send + Sync>;

/// A stored event: when and where.
pub(super) struct Kept {
    pub(super) timestamp: String,
    pub(super) seq: Seq,
}

/// Answers once the event is stored.
pub(super) type Receipt = oneshot::Receiver<Result<Kept>>;

enum Job {
    Open { opened: oneshot::Sender<Result<()>> },
    Append { event: BashEvent, kept: oneshot::Sender<Result<Kept>> },
    Clear { cleared: oneshot::Sender<Result<u64>> },
    ForgetBefore { time: String, forgotten: oneshot::Sender<Result<u64>> },
}

impl Journals {
    pub(super) fn new(
        log: Arc<dyn EventLog>,
        sandbox: SandboxId,
        epoch: Epoch,
        tracker: TaskTracker,
        shutdown: CancellationToken,
        is_running: IsRunning,
    ) -> Self {
        let all = Mutex::default();
        let writers = Writers {
            log: Arc::clone(&log),
            sandbox: sandbox.clone(),
            epoch,
            tracker,
            shutdown,
            is_running,
            all,
        };
        Self { log, sandbox, writers: Arc::new(writers) }
    }

    /// Hands an event to the writer, which stamps it with the time; events of one caller keep their order.
    ///
    /// # Errors
    /// [`Refusal::Stopping`].
    pub(super) async fn append(&self, scope: BashScope, event: BashEvent) -> Result<Receipt> {
        let (kept, receipt) = oneshot::channel();
        self.writers.hand_over(scope, Job::Append { event, kept }).await?;
        Ok(receipt)
    }

    /// Sees to it that commands of an earlier worker have an end, in the log and in truth.
    ///
    /// # Errors
    /// Those of the log.
    pub(super) async fn open(&self, scope: BashScope) -> Result<()> {
        let (opened, answer) = oneshot::channel();
        self.writers.hand_over(scope, Job::Open { opened }).await?;
        answer.await.map_err(gone)?
    }

    /// Removes all events and says how many they were.
    ///
    /// # Errors
    /// Those of the log.
    pub(super) async fn clear(&self, scope: BashScope) -> Result<u64> {
        let (cleared, answer) = oneshot::channel();
        self.writers.hand_over(scope, Job::Clear { cleared }).await?;
        answer.await.map_err(gone)?
    }

    /// Removes events with a timestamp before `time` and says how many they were.
    ///
    /// # Errors
    /// Those of the log.
    pub(super) async fn forget_before(&self, scope: BashScope, time: String) -> Result<u64> {
        let (forgotten, answer) = oneshot::channel();
        self.writers.hand_over(scope, Job::ForgetBefore { time, forgotten }).await?;
        answer.await.map_err(gone)?
    }

    /// Ends the writer of a log that is to be removed. Once this returns, nothing that was handed over before is written
    /// any more.
    pub(super) async fn forget(&self, scope: BashScope) {
        self.writers.forget(scope).await;
    }

    /// Whether the log has a command of this id.
    ///
    /// # Errors
    /// Those of the log.
    pub(super) async fn has_command(&self, scope: BashScope, id: &str) -> Result<bool> {
        let log = LogId::bash(&self.sandbox, scope);
        let is_it = |payload: &[u8]| matches!(serde_json::from_slice(payload), Ok(BashEvent::BashCommand(command)) if command.id == id);
        let mut pages = Pages::new(self.log.as_ref(), &log, Seq::ZERO, PAGE);
        while let Some(page) = pages.next().await? {
            if page.iter().any(|entry| contains(&entry.payload, id) && is_it(&entry.payload)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The logs there are.
    ///
    /// # Errors
    /// Those of the log.
    pub(super) async fn all(&self) -> ports::Result<Vec<BashScope>> {
        self.log.bash_logs(&self.sandbox).await
    }
}

fn contains(payload: &[u8], id: &str) -> bool {
    payload.windows(id.len()).any(|window| window == id.as_bytes())
}

fn gone(_: oneshot::error::RecvError) -> Refusal {
    Refusal::Stopping
}
