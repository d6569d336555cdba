//! Bash events on their way into the logs: one task a log, which stores together whatever waits. It ends when it had
//! nothing to do for a while; what it knows of its log rests until there is something again, so that of one log there
//! is never a second writer and its end need not be looked for twice.

mod patient;
mod record;
mod store;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ports::{Error, EventLog, Result};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use types::bash::BashEvent;
use types::{BashScope, Epoch, LogId, SandboxId, Seq};

use store::Store;

/// Events and other jobs that may wait for a writer, before those who bring more have to wait.
const QUEUE: usize = 128;
/// Events in one append.
const BATCH: usize = 64;
/// A writer with nothing to do for so long ends.
const IDLE: Duration = Duration::from_secs(60);

pub(super) struct Journals {
    log: Arc<dyn EventLog>,
    sandbox: SandboxId,
    tracker: TaskTracker,
    shutdown: CancellationToken,
    epoch: Epoch,
    writers: Arc<Writers>,
    /// Whether a command of a log is one of this process.
    is_running: IsRunning,
}

pub(super) type IsRunning = Arc<dyn Fn(BashScope, &str) -> bool + Send + Sync>;

type Writers = Mutex<HashMap<BashScope, Writer>>;

enum Writer {
    Writing(mpsc::Sender<Job>),
    Resting(Box<Store>),
}

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
        let writers = Arc::default();
        Self { log, sandbox, epoch, tracker, shutdown, writers, is_running }
    }

    /// Hands an event to the writer, which stamps it with the time; events of one caller keep their order.
    ///
    /// # Errors
    /// `Unavailable` while the process ends.
    pub(super) async fn append(&self, scope: BashScope, event: BashEvent) -> Result<Receipt> {
        let (kept, receipt) = oneshot::channel();
        self.hand_over(scope, Job::Append { event, kept }).await?;
        Ok(receipt)
    }

    /// Sees to it that commands of an earlier worker have an end, in the log and in truth.
    ///
    /// # Errors
    /// Those of the log.
    pub(super) async fn open(&self, scope: BashScope) -> Result<()> {
        let (opened, answer) = oneshot::channel();
        self.hand_over(scope, Job::Open { opened }).await?;
        answer.await.map_err(gone)?
    }

    /// Removes all events and says how many they were.
    ///
    /// # Errors
    /// Those of the log.
    pub(super) async fn clear(&self, scope: BashScope) -> Result<u64> {
        let (cleared, answer) = oneshot::channel();
        self.hand_over(scope, Job::Clear { cleared }).await?;
        answer.await.map_err(gone)?
    }

    /// Removes events with a timestamp before `time` and says how many they were.
    ///
    /// # Errors
    /// Those of the log.
    pub(super) async fn forget_before(&self, scope: BashScope, time: String) -> Result<u64> {
        let (forgotten, answer) = oneshot::channel();
        self.hand_over(scope, Job::ForgetBefore { time, forgotten }).await?;
        answer.await.map_err(gone)?
    }

    /// Whether the log has a command of this id.
    ///
    /// # Errors
    /// Those of the log.
    pub(super) async fn has_command(&self, scope: BashScope, id: &str) -> Result<bool> {
        let log = LogId::bash(&self.sandbox, scope);
        let mut at = Seq::ZERO;
        loop {
            let page = self.log.read(&log, at, 1_000).await?;
            let Some(last) = page.last() else { return Ok(false) };
            at = last.seq;
            let is_it = |payload: &[u8]| matches!(serde_json::from_slice(payload), Ok(BashEvent::BashCommand(command)) if command.id == id);
            if page.iter().any(|entry| contains(&entry.payload, id) && is_it(&entry.payload)) {
                return Ok(true);
            }
        }
    }

    /// The logs there are.
    ///
    /// # Errors
    /// Those of the log.
    pub(super) async fn all(&self) -> Result<Vec<BashScope>> {
        self.log.bash_logs(&self.sandbox).await
    }

    async fn hand_over(&self, scope: BashScope, mut job: Job) -> Result<()> {
        while !self.shutdown.is_cancelled() {
            let Err(mpsc::error::SendError(back)) = self.writer(scope).send(job).await else { return Ok(()) };
            job = back;
            // A runtime that ends drops each new writer at once, and must get to dropping this task as well.
            tokio::task::yield_now().await;
        }
        Err(Error::Unavailable("the worker is stopping".into()))
    }

    fn writer(&self, scope: BashScope) -> mpsc::Sender<Job> {
        let mut writers = lock(&self.writers);
        let store = match writers.remove(&scope) {
            Some(Writer::Writing(jobs)) if !jobs.is_closed() => {
                writers.insert(scope, Writer::Writing(jobs.clone()));
                return jobs;
            }
            Some(Writer::Resting(store)) => *store,
            Some(Writer::Writing(_)) | None => {
                let (is_running, id) = (Arc::clone(&self.is_running), LogId::bash(&self.sandbox, scope));
                let is_running = Box::new(move |command: &str| is_running(scope, command));
                Store::new(Arc::clone(&self.log), id, self.epoch, self.shutdown.clone(), is_running)
            }
        };
        let (sender, jobs) = mpsc::channel(QUEUE);
        let writing = write(store, jobs, scope, Arc::clone(&self.writers), self.shutdown.clone());
        self.tracker.spawn(writing);
        writers.insert(scope, Writer::Writing(sender.clone()));
        sender
    }
}

fn lock(writers: &Writers) -> MutexGuard<'_, HashMap<BashScope, Writer>> {
    writers.lock().unwrap_or_else(PoisonError::into_inner)
}

fn contains(payload: &[u8], id: &str) -> bool {
    payload.windows(id.len()).any(|window| window == id.as_bytes())
}

fn gone(_: oneshot::error::RecvError) -> Error {
    Error::Unavailable("the worker is stopping".into())
}

async fn write(
    mut store: Store,
    mut jobs: mpsc::Receiver<Job>,
    scope: BashScope,
    writers: Arc<Writers>,
    shutdown: CancellationToken,
) {
    let mut waiting = Vec::with_capacity(BATCH);
    loop {
        // What was sent before a close still comes.
        tokio::select! {
            biased;
            count = jobs.recv_many(&mut waiting, BATCH) => if count == 0 { return },
            () = shutdown.cancelled(), if !jobs.is_closed() => jobs.close(),
            () = tokio::time::sleep(IDLE), if !jobs.is_closed() => {
                let mut writers = lock(&writers);
                // Senders are handed out under the lock: with one left, that of the map, nobody is about to send.
                if jobs.is_empty() && jobs.sender_strong_count() == 1 {
                    writers.insert(scope, Writer::Resting(Box::new(store)));
                    return;
                }
            }
        }
        let (mut events, mut receipts) = (Vec::new(), Vec::new());
        for job in waiting.drain(..) {
            match job {
                Job::Append { event, kept } => {
                    events.push(event);
                    receipts.push(kept);
                }
                Job::Open { opened } => {
                    // Nobody may wait for it any more.
                    let _ = opened.send(store.open().await);
                }
                Job::Clear { cleared } => {
                    append(&mut store, &mut events, &mut receipts).await;
                    let _ = cleared.send(store.clear().await);
                }
                Job::ForgetBefore { time, forgotten } => {
                    append(&mut store, &mut events, &mut receipts).await;
                    let _ = forgotten.send(store.forget_before(&time).await);
                }
            }
        }
        append(&mut store, &mut events, &mut receipts).await;
    }
}

async fn append(
    store: &mut Store,
    events: &mut Vec<BashEvent>,
    receipts: &mut Vec<oneshot::Sender<Result<Kept>>>,
) {
    if events.is_empty() {
        return;
    }
    let outcomes = store.append(std::mem::take(events)).await;
    for (receipt, outcome) in receipts.drain(..).zip(outcomes) {
        let _ = receipt.send(outcome);
    }
}
