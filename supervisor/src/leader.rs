//! Of several supervisors one schedules: the one that holds `LEASES/_supervisor`.
//!
//! The holder renews the record by compare-and-set; another takes it when it is gone, or has not changed for
//! a lifetime on the other's own clock. A holder that cannot renew stops before anybody may take over. This
//! saves work and noise; what keeps two from harming each other is that every step is a compare-and-set.

use std::time::Duration;

use ports::buckets::LEASES;
use ports::{Error, Expect, Kv, KvEntry, Result};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Not a sandbox.
const KEY: &str = "_supervisor";

#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Unchanged for so long, the record may be taken.
    pub lifetime: Duration,
    pub renewal: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self { lifetime: Duration::from_secs(6), renewal: Duration::from_secs(2) }
    }
}

pub struct Candidate<'a> {
    kv: &'a dyn Kv,
    /// Different for every process.
    name: String,
    timing: Timing,
}

impl<'a> Candidate<'a> {
    pub fn new(kv: &'a dyn Kv, timing: Timing) -> Self {
        Self { kv, name: uuid::Uuid::new_v4().simple().to_string(), timing }
    }

    /// Does `work` whenever this is the leader, until `shutdown`. The token `work` is given is cancelled
    /// when it must end; the record is given back afterwards.
    pub async fn lead<W>(&self, shutdown: &CancellationToken, work: impl Fn(CancellationToken) -> W)
    where
        W: Future<Output = ()>,
    {
        while let Some(revision) = self.wait_for_turn(shutdown).await {
            tracing::info!("this supervisor schedules from now on");
            let stop = shutdown.child_token();
            let (revision, ()) = tokio::join!(self.hold(revision, &stop), work(stop.clone()));
            if let Some(revision) = revision {
                // Otherwise it runs out by itself.
                let _ = self.kv.delete(LEASES, KEY, Expect::Revision(revision)).await;
            }
            tracing::info!("this supervisor schedules no longer");
        }
    }

    /// `None` at shutdown.
    async fn wait_for_turn(&self, shutdown: &CancellationToken) -> Option<u64> {
        let mut seen: Option<(u64, Instant)> = None;
        loop {
            if shutdown.is_cancelled() {
                return None;
            }
            match self.try_to_take(&mut seen).await {
                Ok(Some(revision)) => return Some(revision),
                Ok(None) | Err(Error::Conflict { .. }) => {}
                Err(error) => {
                    // Nobody can renew while the store is away.
                    seen = None;
                    tracing::warn!(%error, "cannot find out who schedules");
                }
            }
            tokio::select! {
                () = sleep(self.timing.renewal / 5) => {}
                () = shutdown.cancelled() => {}
            }
        }
    }

    async fn try_to_take(&self, seen: &mut Option<(u64, Instant)>) -> Result<Option<u64>> {
        let expect = match self.kv.get(LEASES, KEY).await? {
            None => Expect::Absent,
            Some(KvEntry { revision, .. }) => match *seen {
                Some((last, since)) if last == revision => {
                    if since.elapsed() < self.timing.lifetime {
                        return Ok(None);
                    }
                    Expect::Revision(revision)
                }
                _ => {
                    *seen = Some((revision, Instant::now()));
                    return Ok(None);
                }
            },
        };
        self.put(expect).await.map(Some)
    }

    /// Renews until `stop`, answering the last revision; or cancels `stop` when that fails for too long.
    async fn hold(&self, mut revision: u64, stop: &CancellationToken) -> Option<u64> {
        let mut renewed = Instant::now();
        let patience = self.timing.lifetime.saturating_sub(self.timing.renewal);
        loop {
            tokio::select! {
                () = stop.cancelled() => return Some(revision),
                () = sleep(self.timing.renewal) => {}
            }
            let left = patience.saturating_sub(renewed.elapsed());
            let asked = Instant::now();
            match timeout(left, self.put(Expect::Revision(revision))).await {
                Ok(Ok(next)) => (revision, renewed) = (next, asked),
                Ok(Err(Error::Conflict { .. })) => {
                    tracing::warn!("another supervisor has taken over");
                    break;
                }
                Ok(Err(error)) if renewed.elapsed() < patience => {
                    tracing::warn!(%error, "cannot renew the supervisor's lease yet");
                }
                Ok(Err(_)) | Err(_) => {
                    tracing::warn!("cannot renew the supervisor's lease in time");
                    break;
                }
            }
        }
        stop.cancel();
        None
    }

    async fn put(&self, expect: Expect) -> Result<u64> {
        self.kv.put(LEASES, KEY, self.name.clone().into(), expect).await
    }
}
