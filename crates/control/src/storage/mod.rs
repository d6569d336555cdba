//! What workers may store: how much, and what of it outlives their sandboxes.

mod ending;
mod quota;
mod retention;
mod serving;
mod sweep;
mod weighing;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use ports::rpc::{Server, Watch};
use ports::storage::{Ledger, Storage};
use ports::{Error, Kv, Ports, Result};
use readmodel::vital::contained;
use tokio::sync::{Mutex as Turn, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use types::{LogId, SandboxId};

use ending::is_ending;
use quota::Quota;

/// For calls of workers that are under way at the end.
const DRAIN: Duration = Duration::from_secs(5);
/// What a sandbox stores that has stored nothing for so long need not be at hand.
const IDLE: Duration = Duration::from_secs(3_600);

/// For how long what sandboxes store is kept, and how that is watched over.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bash events older than this are forgotten; `None` keeps them. A worker sees to that itself.
    pub bash_retention: Option<Duration>,
    /// For which what is counted of a sandbox must not change after it was weighed: as long as it may take until the room
    /// of what is gone is given back.
    pub settling: Duration,
    /// How often it is looked what nobody knows any more. What is to be removed has been unknown for as long.
    pub sweep_every: Duration,
}

/// The usual ones.
pub const SETTLING: Duration = Duration::from_secs(60);
pub const SWEEP_EVERY: Duration = Duration::from_secs(3_600);

impl Default for Limits {
    fn default() -> Self {
        Self { bash_retention: None, settling: SETTLING, sweep_every: SWEEP_EVERY }
    }
}

/// Has workers served until `shutdown`, what they store written into `books`, and watches over what is stored. `watch` is told of
/// the calls. As long as it serves it says so: without anybody who does, no worker can renew its lease.
///
/// # Errors
/// `Unavailable`: nothing can be heard of workers.
pub async fn serve(
    storage: &dyn Storage,
    ports: &Ports,
    limits: Limits,
    books: &Arc<Books>,
    watch: Watch,
    shutdown: &CancellationToken,
) -> Result<()> {
    let counting = async {
        let Some(counted) = &books.counted else { return std::future::pending().await };
        let mut refused = counted.refused.lock().await;
        tokio::join!(
            weighing::keep_right(storage, &counted.quota, &mut refused, limits.settling),
            keep_few_accounts(&counted.quota),
        );
    };
    let housekeeping =
        async { tokio::join!(sweep::keep_swept(storage, ports, limits.sweep_every), counting) };
    let forgetting = async {
        match limits.bash_retention {
            Some(retention) => {
                retention::keep_forgetting(ports.log.clone(), ports.kv.as_ref(), retention).await;
            }
            None => std::future::pending().await,
        }
    };
    let calls = TaskTracker::new();
    let server = Server::new(ports.bus.clone(), calls.clone(), shutdown.clone()).watched(watch);
    // In this order: what ends because of `shutdown` has not failed.
    let served = tokio::select! {
        biased;
        () = shutdown.cancelled() => Ok(()),
        _ = housekeeping => Ok(()),
        () = forgetting => Ok(()),
        () = serving::keep_saying_so(ports.kv.as_ref()) => Ok(()),
        served = storage.serve(&server, books.clone()) => {
            served.and_then(|()| Err(Error::Unavailable("workers are not served any more".to_owned())))
        }
    };
    calls.close();
    if tokio::time::timeout(DRAIN, calls.wait()).await.is_err() {
        tracing::warn!(calls = calls.len(), "calls of workers do not end in time");
    }
    books.tell_all().await;
    served
}

/// Never returns.
async fn keep_few_accounts(quota: &Arc<Quota>) {
    loop {
        tokio::time::sleep(IDLE).await;
        contained("forgetting who stores nothing", quota.forget_idle(IDLE)).await;
    }
}

/// What is stored, as far as it is counted: by workers, and by the control plane for their sandboxes.
pub struct Books {
    /// `None`: they may store whatever they like.
    counted: Option<Counted>,
    appended: Box<dyn Fn(usize) + Send + Sync>,
}

struct Counted {
    quota: Arc<Quota>,
    /// Those that are to be weighed.
    refused: Turn<mpsc::Receiver<SandboxId>>,
}

impl Books {
    /// `most`: bytes a sandbox. `appended` is told how many records workers have stored.
    #[must_use]
    pub fn new(
        kv: Arc<dyn Kv>,
        most: Option<u64>,
        appended: impl Fn(usize) + Send + Sync + 'static,
    ) -> Arc<Self> {
        let counted = most.map(|most| {
            let (quota, refused) = Quota::new(kv, most);
            Counted { quota, refused: Turn::new(refused) }
        });
        Arc::new(Self { counted, appended: Box::new(appended) })
    }

    /// Tells other processes what is not in the store yet of what was counted here: for who stores nothing more.
    pub async fn tell_all(&self) {
        if let Some(counted) = &self.counted {
            counted.quota.save_all().await;
        }
    }
}

#[async_trait]
impl Ledger for Books {
    async fn charge(&self, log: &LogId, bytes: u64, records: &(dyn Fn() -> Vec<Bytes> + Sync)) -> Result<()> {
        match &self.counted {
            Some(Counted { quota, .. }) => {
                quota.charge(log.sandbox(), bytes, || is_ending(log, &records())).await
            }
            None => Ok(()),
        }
    }

    fn refund(&self, sandbox: &SandboxId, bytes: u64) {
        if let Some(Counted { quota, .. }) = &self.counted {
            quota.refund(sandbox, bytes);
        }
    }

    fn appended(&self, records: usize) {
        (self.appended)(records);
    }
}
