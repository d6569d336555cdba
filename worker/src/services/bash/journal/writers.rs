//! The tasks that write logs of commands: of each log at most one.
//!
//! ```text
//!           a job                       nothing to do for a while
//!   none ──────────▶ writing ─────────────────────────▶ resting ──▶ none, of too many the one that rested longest
//!                     │   ▲────────────────────────────────┘
//!                     │              a job
//!                     │ stopped: the log is forgotten, or the worker ends
//!                     ▼
//!                   ending ──▶ none
//! ```
//!
//! *Writing*: a task owns the [`Store`], and the map has the sender of its jobs. *Resting*: the map owns the store; what
//! it knows of its log need not be read again. *Ending*: what was handed over is tried once more and no longer waits
//! for a log that cannot be written; who brings more waits until the task is over, and finds the place free.
//!
//! Jobs are handed over with a sender that was taken under the lock, so a task that finds no job and no second sender
//! under the lock may go to rest. A task that is dropped with its runtime leaves a closed sender and a cancelled
//! `ended`, which the next one to come takes for nothing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use ports::EventLog;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use types::bash::BashEvent;
use types::{BashScope, Epoch, LogId, SandboxId};

use super::refusal::{Refusal, Result};
use super::store::Store;
use super::{IsRunning, Job, Kept};

/// Events and other jobs that may wait for a writer, before those who bring more have to wait.
const QUEUE: usize = 128;
/// Events in one append.
const BATCH: usize = 64;
/// A writer with nothing to do for so long goes to rest.
const IDLE: Duration = Duration::from_secs(60);
/// So many may rest.
const MOST_RESTING: usize = 1_000;

pub(super) struct Writers {
    pub(super) log: Arc<dyn EventLog>,
    pub(super) sandbox: SandboxId,
    pub(super) epoch: Epoch,
    pub(super) tracker: TaskTracker,
    pub(super) shutdown: CancellationToken,
    /// Whether a command of a log is one of this process.
    pub(super) is_running: IsRunning,
    pub(super) all: Mutex<HashMap<BashScope, Writer>>,
}

pub(super) enum Writer {
    Writing { jobs: mpsc::Sender<Job>, stop: CancellationToken, ended: CancellationToken },
    Resting { store: Box<Store>, stop: CancellationToken, since: Instant },
}

impl Writers {
    /// Gives `job` to the log's writer.
    ///
    /// # Errors
    /// [`Refusal::Stopping`].
    pub(super) async fn hand_over(self: &Arc<Self>, scope: BashScope, mut job: Job) -> Result<()> {
        while !self.shutdown.is_cancelled() {
            let jobs = match self.writer(scope) {
                Ok(jobs) => jobs,
                Err(ending) => {
                    ending.cancelled().await;
                    continue;
                }
            };
            let Err(mpsc::error::SendError(back)) = jobs.send(job).await else { return Ok(()) };
            job = back;
            // A runtime that ends drops each new writer at once, and must get to dropping this task as well.
            tokio::task::yield_now().await;
        }
        Err(Refusal::Stopping)
    }

    /// Ends the log's writer: once this returns, nothing that was handed over before is written any more.
    pub(super) async fn forget(&self, scope: BashScope) {
        let ended = {
            let mut all = self.all.lock();
            let Some(Writer::Writing { stop, ended, .. }) = all.get(&scope) else {
                all.remove(&scope);
                return;
            };
            stop.cancel();
            ended.clone()
        };
        ended.cancelled().await;
    }

    /// The writer's mailbox; the token of one that is about to end.
    fn writer(
        self: &Arc<Self>,
        scope: BashScope,
    ) -> std::result::Result<mpsc::Sender<Job>, CancellationToken> {
        let mut all = self.all.lock();
        let (store, stop) = match all.remove(&scope) {
            Some(writing @ Writer::Writing { .. }) => match writing.mailbox() {
                Some(found) => {
                    all.insert(scope, writing);
                    return found;
                }
                None => self.store(scope),
            },
            Some(Writer::Resting { store, stop, .. }) => (*store, stop),
            None => self.store(scope),
        };
        let (sender, jobs) = mpsc::channel(QUEUE);
        let ended = CancellationToken::new();
        let writing = Writing {
            store,
            jobs,
            scope,
            stop: stop.clone(),
            writers: Arc::clone(self),
            _ended: ended.clone().drop_guard(),
        };
        self.tracker.spawn(writing.live());
        all.insert(scope, Writer::Writing { jobs: sender.clone(), stop, ended });
        Ok(sender)
    }

    fn store(&self, scope: BashScope) -> (Store, CancellationToken) {
        let (is_running, id) = (Arc::clone(&self.is_running), LogId::bash(&self.sandbox, scope));
        let is_running = Box::new(move |command: &str| is_running(scope, command));
        let stop = self.shutdown.child_token();
        (Store::new(Arc::clone(&self.log), id, self.epoch, stop.clone(), is_running), stop)
    }
}

impl Writer {
    /// Of one that writes, or is about to end; nothing of one that is over.
    fn mailbox(&self) -> Option<std::result::Result<mpsc::Sender<Job>, CancellationToken>> {
        match self {
            Self::Writing { jobs, .. } if !jobs.is_closed() => Some(Ok(jobs.clone())),
            Self::Writing { ended, .. } if !ended.is_cancelled() => Some(Err(ended.clone())),
            Self::Writing { .. } | Self::Resting { .. } => None,
        }
    }

    fn resting_since(&self) -> Option<Instant> {
        match self {
            Self::Writing { .. } => None,
            Self::Resting { since, .. } => Some(*since),
        }
    }
}

/// A task that writes.
struct Writing {
    store: Store,
    jobs: mpsc::Receiver<Job>,
    scope: BashScope,
    stop: CancellationToken,
    writers: Arc<Writers>,
    /// Last, so that the place in the map is free before.
    _ended: DropGuard,
}

impl Writing {
    async fn live(mut self) {
        let mut waiting = Vec::with_capacity(BATCH);
        loop {
            // What was sent before a close still comes.
            tokio::select! {
                biased;
                count = self.jobs.recv_many(&mut waiting, BATCH) => if count == 0 {
                    self.writers.all.lock().remove(&self.scope);
                    return;
                },
                () = self.stop.cancelled(), if !self.jobs.is_closed() => self.jobs.close(),
                () = tokio::time::sleep(IDLE), if !self.jobs.is_closed() => match self.rest() {
                    Ok(()) => return,
                    Err(again) => self = *again,
                },
            }
            self.perform(&mut waiting).await;
        }
    }

    async fn perform(&mut self, waiting: &mut Vec<Job>) {
        let (mut events, mut receipts) = (Vec::new(), Vec::new());
        for job in waiting.drain(..) {
            match job {
                Job::Append { event, kept } => {
                    events.push(event);
                    receipts.push(kept);
                }
                Job::Open { opened } => {
                    // Nobody may wait for it any more.
                    let _ = opened.send(self.store.open_again().await);
                }
                Job::Clear { cleared } => {
                    self.append(&mut events, &mut receipts).await;
                    let _ = cleared.send(self.store.clear().await);
                }
                Job::ForgetBefore { time, forgotten } => {
                    self.append(&mut events, &mut receipts).await;
                    let _ = forgotten.send(self.store.forget_before(&time).await);
                }
            }
        }
        self.append(&mut events, &mut receipts).await;
    }

    async fn append(
        &mut self,
        events: &mut Vec<BashEvent>,
        receipts: &mut Vec<oneshot::Sender<Result<Kept>>>,
    ) {
        if events.is_empty() {
            return;
        }
        let outcomes = self.store.append(std::mem::take(events)).await;
        for (receipt, outcome) in receipts.drain(..).zip(outcomes) {
            let _ = receipt.send(outcome);
        }
    }

    /// Leaves the store to whoever brings the next job, unless somebody is about to.
    fn rest(self) -> std::result::Result<(), Box<Self>> {
        let writers = Arc::clone(&self.writers);
        let mut all = writers.all.lock();
        // Senders are handed out under the lock: with one left, that of the map, nobody is about to send.
        if !self.jobs.is_empty() || self.jobs.sender_strong_count() != 1 || self.stop.is_cancelled() {
            return Err(Box::new(self));
        }
        let (store, since) = (Box::new(self.store), Instant::now());
        all.insert(self.scope, Writer::Resting { store, stop: self.stop, since });
        if all.values().filter_map(Writer::resting_since).count() > MOST_RESTING {
            let resting = all.iter().filter_map(|(scope, writer)| Some((writer.resting_since()?, *scope)));
            if let Some((_, longest)) = resting.min_by_key(|(since, _)| *since) {
                all.remove(&longest);
            }
        }
        Ok(())
    }
}
