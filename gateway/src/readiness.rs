//! Whether the store takes a value and gives it back, and the runs that an earlier process left are closed.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ports::{Expect, Kv};
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use types::buckets::PROBE;

const KEY: &str = "ready";
const DEADLINE: Duration = Duration::from_secs(2);
const FRESH: Duration = Duration::from_secs(1);

pub type Verdict = Result<(), &'static str>;

/// Remembers the last probe of the store for a second: whoever asks needs no key, and may ask often and in numbers. Cheap to
/// clone.
#[derive(Clone)]
pub struct Readiness {
    /// Held by who probes: the others wait for what it finds.
    last: Arc<Mutex<Option<(Instant, Verdict)>>>,
    settled: CancellationToken,
    kv: Arc<dyn Kv>,
}

impl Readiness {
    /// Not before `settled` is cancelled.
    pub fn once(settled: CancellationToken, kv: Arc<dyn Kv>) -> Self {
        Self { last: Arc::default(), settled, kv }
    }

    pub async fn check(&self) -> Verdict {
        if !self.settled.is_cancelled() {
            return Err("runs that were cut off are being closed");
        }
        let mut last = self.last.lock().await;
        if let Some((at, verdict)) = *last
            && at.elapsed() < FRESH
        {
            return verdict;
        }
        let verdict = tokio::time::timeout(DEADLINE, round_trip(&*self.kv)).await;
        let verdict = verdict.unwrap_or(Err("the store does not answer in time"));
        *last = Some((Instant::now(), verdict));
        verdict
    }
}

async fn round_trip(kv: &dyn Kv) -> Verdict {
    let now = Bytes::from(types::time::utc_now());
    let Ok(revision) = kv.put(PROBE, KEY, now, Expect::Anything).await else {
        return Err("the store does not take a value");
    };
    match kv.get(PROBE, KEY).await {
        // Another gateway may have written meanwhile.
        Ok(Some(entry)) if entry.revision >= revision => Ok(()),
        _ => Err("the store does not give back what it took"),
    }
}
