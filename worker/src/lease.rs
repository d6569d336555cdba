//! The worker's lease on its sandbox: tells the others that it lives, and itself when it may not be alone.
//!
//! The lease is for liveness; that two never write one log is kept by the log's own check. So without it nothing is broken off:
//! no new tool is started, appends wait, and a newer incarnation is heard of as soon as anybody answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use ports::{Bucket, Error, Kv, Value, Versioned};
use tokio::sync::watch;
use types::buckets::LEASES;
use types::placement::Lease;
use types::time::utc_now;
use types::{Epoch, SandboxId};

const RENEW_EVERY: Duration = Duration::from_secs(5);
const TRY_AGAIN: Duration = Duration::from_secs(1);
const ANSWER: Duration = Duration::from_secs(2);
/// Without a renewal for so long no tool is started.
const DOUBTFUL: Duration = Duration::from_secs(10);

/// What the worker's parts ask before they act. Cheap to clone.
#[derive(Clone)]
pub(crate) struct LeaseState {
    /// `None`: the worker needs no lease.
    renewed: Option<Arc<Mutex<Instant>>>,
    changes: watch::Receiver<u64>,
}

/// Why a worker does not hold its lease.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("epoch {} has taken the sandbox over", .0.0)]
    Newer(Epoch),
    #[error(transparent)]
    NotNow(#[from] Error),
}

impl LeaseState {
    /// That of a worker which is alone by construction.
    pub(crate) fn alone() -> Self {
        Self { renewed: None, changes: watch::channel(0).1 }
    }

    /// Waits until a tool may be started.
    pub(crate) async fn until_sure(&self) {
        let mut changes = self.changes.clone();
        while self.age().is_some_and(|age| age >= DOUBTFUL) {
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    fn age(&self) -> Option<Duration> {
        let renewed = self.renewed.as_ref()?;
        Some(renewed.lock().elapsed())
    }
}

/// What is stored as the lease; `None` where it cannot be read: then it is nobody's.
#[derive(Clone)]
struct StoredLease(Option<Lease>);

impl Value for StoredLease {
    fn encode(&self) -> ports::Result<Bytes> {
        serde_json::to_vec(&self.0).map(Into::into).map_err(|error| Error::Internal(error.to_string()))
    }

    fn decode(stored: &Bytes) -> ports::Result<Self> {
        Ok(Self(serde_json::from_slice(stored).ok()))
    }
}

/// How busy the worker is, for those who read the lease.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub idle: Duration,
    /// Under way.
    pub runs: usize,
    /// That have come so far.
    pub calls: u64,
}

/// Takes and renews the lease.
pub(crate) struct Keeper {
    kv: Arc<dyn Kv>,
    sandbox: SandboxId,
    epoch: Epoch,
    since: String,
    /// As it was written last, as far as is known.
    held: Option<Versioned<StoredLease>>,
    renewed: Arc<Mutex<Instant>>,
    renewals: watch::Sender<u64>,
}

impl Keeper {
    /// Takes the lease, as soon as the store can be reached.
    ///
    /// # Errors
    /// [`Refusal::Newer`].
    pub(crate) async fn take(
        kv: Arc<dyn Kv>,
        sandbox: SandboxId,
        epoch: Epoch,
    ) -> Result<(Self, LeaseState), Refusal> {
        let (renewals, changes) = watch::channel(0);
        let renewed = Arc::new(Mutex::new(Instant::now()));
        let mut keeper =
            Self { kv, sandbox, epoch, since: utc_now(), held: None, renewed: renewed.clone(), renewals };
        loop {
            match keeper.renew(Report::default()).await {
                Ok(()) => return Ok((keeper, LeaseState { renewed: Some(renewed), changes })),
                Err(newer @ Refusal::Newer(_)) => return Err(newer),
                Err(Refusal::NotNow(error)) => {
                    tracing::warn!(%error, "the lease cannot be taken yet");
                    tokio::time::sleep(TRY_AGAIN).await;
                }
            }
        }
    }

    /// Renews until a newer incarnation is there: then this worker must stop at once.
    pub(crate) async fn keep(mut self, report: impl Fn() -> Report) -> Refusal {
        let mut pause = RENEW_EVERY;
        loop {
            tokio::time::sleep(pause).await;
            pause = match self.renew(report()).await {
                Ok(()) => RENEW_EVERY,
                Err(newer @ Refusal::Newer(_)) => return newer,
                Err(Refusal::NotNow(error)) => {
                    tracing::warn!(sandbox.id = %self.sandbox, %error, "the lease is not renewed");
                    TRY_AGAIN
                }
            };
        }
    }

    async fn renew(&mut self, report: Report) -> Result<(), Refusal> {
        let Report { idle, runs, calls } = report;
        let since = self.since.clone();
        let lease = Lease { epoch: self.epoch, since, idle_seconds: idle.as_secs(), runs, calls };
        let leases = Bucket::new(self.kv.as_ref(), LEASES).in_time(ANSWER);
        let (began, mut newer) = (Instant::now(), None);
        let write = |stored: &mut Option<StoredLease>| {
            let holder = stored.as_ref().and_then(|stored| stored.0.as_ref());
            newer = holder.map(|holder| holder.epoch).filter(|epoch| *epoch > self.epoch);
            if newer.is_none() {
                *stored = Some(StoredLease(Some(lease.clone())));
            }
            newer.is_none()
        };
        let held = leases.change_from(self.held.clone(), self.sandbox.as_str(), write).await?;
        if let Some(newer) = newer {
            return Err(Refusal::Newer(newer));
        }
        self.held = held;
        *self.renewed.lock() = began;
        self.renewals.send_modify(|count| *count += 1);
        Ok(())
    }
}
