//! Of several processes one does what is to be done once: the one that holds a record of a bucket.
//!
//! The holder renews the record by compare-and-set; another takes it when it is gone, or has not changed for
//! a lifetime on the other's own clock. A holder that cannot renew stops before anybody may take over. This
//! saves work and noise; what keeps two from harming each other is that every step is a compare-and-set.
//!
//! The record is renewed by a task of its own, so work that takes its thread for long (files that are slow to read) does not lose
//! the turn by that, where the runtime has another thread.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::{Bucket, Expect, Kv, Result, Unchanged, Value, Versioned};

/// In the time of a renewal.
const TRIES: u32 = 5;

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

#[derive(Clone)]
pub struct Candidate {
    kv: Arc<dyn Kv>,
    bucket: &'static str,
    key: &'static str,
    /// What it does when it has its turn, for the log.
    what: &'static str,
    /// Different for every process.
    name: Name,
    timing: Timing,
}

/// The holder's name, which is all that the record says.
#[derive(Clone, PartialEq)]
struct Name(Bytes);

impl Value for Name {
    fn encode(&self) -> Result<Bytes> {
        Ok(self.0.clone())
    }

    fn decode(stored: &Bytes) -> Result<Self> {
        Ok(Self(stored.clone()))
    }
}

impl Candidate {
    /// For the record `key` of `bucket`.
    #[must_use]
    pub fn new(
        kv: &Arc<dyn Kv>,
        (bucket, key): (&'static str, &'static str),
        what: &'static str,
        timing: Timing,
    ) -> Self {
        let name = Name(uuid::Uuid::new_v4().simple().to_string().into());
        Self { kv: kv.clone(), bucket, key, what, name, timing }
    }

    /// Does `work` whenever this is the leader, until `shutdown`; answers what came of it the last time. The token `work` is
    /// given is cancelled when it must end; the record is given back afterwards.
    pub async fn lead<W: Future>(
        &self,
        shutdown: &CancellationToken,
        work: impl Fn(CancellationToken) -> W,
    ) -> Option<W::Output> {
        let mut last = None;
        while let Some(revision) = self.wait_for_turn(shutdown).await {
            tracing::info!(what = self.what, "this process has the turn from now on");
            let stop = shutdown.child_token();
            last = Some(self.holding(revision, &stop, work(stop.clone())).await);
            tracing::info!(what = self.what, "this process has the turn no longer");
        }
        last
    }

    /// Does `work` once, as soon as this has its turn; `None` where that was lost before the end, with which the work was dropped.
    pub async fn once<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let stop = CancellationToken::new();
        let revision = self.wait_for_turn(&stop).await?;
        let working = async {
            let done = stop.run_until_cancelled(work).await;
            stop.cancel();
            done
        };
        self.holding(revision, &stop, working).await
    }

    /// Holds the record until `stop`, and gives it back when the work is done as well.
    async fn holding<T>(&self, revision: u64, stop: &CancellationToken, work: impl Future<Output = T>) -> T {
        let (candidate, stop) = (self.clone(), stop.clone());
        let held = tokio::spawn(async move {
            // However it ends: without the turn nothing is done.
            let _stops = stop.clone().drop_guard();
            candidate.hold(revision, &stop).await
        });
        let (held, done) = tokio::join!(AbortOnDropHandle::new(held), work);
        if let Ok(Some(revision)) = held {
            // Otherwise it runs out by itself.
            let _ = self.leases().remove(self.key, Expect::Revision(revision)).await;
        }
        done
    }

    fn leases(&self) -> Bucket<'_, Name> {
        Bucket::new(&*self.kv, self.bucket)
    }

    /// `None` at shutdown.
    async fn wait_for_turn(&self, shutdown: &CancellationToken) -> Option<u64> {
        let mut seen = Unchanged::default();
        loop {
            if shutdown.is_cancelled() {
                return None;
            }
            match self.try_to_take(&mut seen).await {
                Ok(Some(revision)) => return Some(revision),
                Ok(None) => {}
                Err(error) => {
                    // Nobody can renew while the store is away.
                    seen = Unchanged::default();
                    tracing::warn!(what = self.what, %error, "cannot find out who has the turn");
                }
            }
            tokio::select! {
                () = sleep(self.timing.renewal / TRIES) => {}
                () = shutdown.cancelled() => {}
            }
        }
    }

    async fn try_to_take(&self, seen: &mut Unchanged<u64>) -> Result<Option<u64>> {
        let expect = match self.leases().get(self.key).await? {
            None => Expect::Absent,
            Some(Versioned { revision, .. }) => {
                if seen.age(revision, Instant::now().into_std()) < self.timing.lifetime {
                    return Ok(None);
                }
                Expect::Revision(revision)
            }
        };
        self.leases().put(self.key, &self.name, expect).await
    }

    /// Renews until `stop`, answering the last revision; `None` when that fails for too long.
    async fn hold(&self, mut revision: u64, stop: &CancellationToken) -> Option<u64> {
        let mut renewed = Instant::now();
        let patience = self.timing.lifetime.saturating_sub(self.timing.renewal);
        let mut pause = self.timing.renewal;
        loop {
            tokio::select! {
                () = stop.cancelled() => return Some(revision),
                () = sleep(pause) => {}
            }
            let left = patience.saturating_sub(renewed.elapsed());
            let asked = Instant::now();
            match timeout(left, self.renew(revision)).await {
                Ok(Ok(Some(next))) => (revision, renewed, pause) = (next, asked, self.timing.renewal),
                Ok(Ok(None)) => {
                    tracing::warn!(what = self.what, "another process has taken over");
                    break;
                }
                Ok(Err(error)) if renewed.elapsed() < patience => {
                    tracing::warn!(what = self.what, %error, "cannot renew the lease yet");
                    pause = self.timing.renewal / TRIES;
                }
                Ok(Err(_)) | Err(_) => {
                    tracing::warn!(what = self.what, "cannot renew the lease in time");
                    break;
                }
            }
        }
        None
    }

    /// The record's next revision; `None` where somebody else wrote it. What was answered by an error may have been
    /// written, so the record is this one's own also at another revision.
    async fn renew(&self, revision: u64) -> Result<Option<u64>> {
        let (believed, mut is_own) = (Versioned { value: self.name.clone(), revision }, true);
        let write = |holder: &mut Option<Name>| {
            is_own = holder.as_ref() == Some(&self.name);
            is_own
        };
        let stored = self.leases().change_from(Some(believed), self.key, write).await?;
        Ok(stored.filter(|_| is_own).map(|stored| stored.revision))
    }
}

#[cfg(all(test, feature = "contract"))]
mod tests {
    use std::future::pending;
    use std::sync::atomic::{AtomicU64, Ordering};

    use async_trait::async_trait;

    use super::*;
    use crate::KvEntry;
    use crate::doubles::KvDouble;

    /// Whose client breaks when the record is renewed.
    #[derive(Default)]
    struct Broken(AtomicU64);

    #[async_trait]
    impl KvDouble for Broken {
        fn inner(&self) -> Result<&dyn Kv> {
            Err(crate::Error::NotFound)
        }

        async fn get(&self, _: &str, _: &str) -> Result<Option<KvEntry>> {
            Ok(None)
        }

        async fn put(&self, _: &str, _: &str, _: Bytes, _: Expect) -> Result<u64> {
            assert_eq!(self.0.fetch_add(1, Ordering::SeqCst), 0, "as a client that breaks");
            Ok(1)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_cannot_hold_the_turn_any_more_whatever_the_reason_does_nothing_more() {
        let kv: Arc<dyn Kv> = Arc::new(Broken::default());
        let candidate = Candidate::new(&kv, ("LEASES", "lease"), "a test", Timing::default());
        let done = timeout(Duration::from_secs(60), candidate.once(pending::<()>()));
        assert_eq!(done.await, Ok(None));
    }
}
