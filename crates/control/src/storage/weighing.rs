//! Weighs what sandboxes really store that were refused for want of room.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use ports::Allowance;
use ports::storage::Storage;
use readmodel::vital::contained;
use tokio::sync::{Mutex as Turn, mpsc};
use types::SandboxId;

use super::quota::Quota;

/// One sandbox is weighed so often at most: all that it stores is read for it.
const EVERY: Duration = Duration::from_secs(3_600);
/// And so often in a row, as it may be weighed in vain.
const IN_A_ROW: u32 = 3;
/// Sandboxes that are weighed at once: one of them, while others wait for that, or until they have settled.
const AT_ONCE: usize = 16;

/// Weighs those that are `refused`. Never returns while anybody can be.
pub async fn keep_right(
    storage: &dyn Storage,
    quota: &Arc<Quota>,
    refused: &mut mpsc::Receiver<SandboxId>,
    settling: Duration,
) {
    let turns = Mutex::new((Allowance::new(IN_A_ROW, EVERY), BTreeSet::<SandboxId>::new()));
    let one = Turn::new(());
    let may_be_weighed = |sandbox: &SandboxId| {
        let (allowance, weighing) = &mut *turns.lock();
        !weighing.contains(sandbox)
            && allowance.take(sandbox.as_str(), Instant::now())
            && weighing.insert(sandbox.clone())
    };
    let weigh = async |sandbox: SandboxId| {
        if !may_be_weighed(&sandbox) {
            return;
        }
        let weighed = put_right(storage, quota, &sandbox, settling, &one);
        let is_right = contained("weighing a sandbox", weighed).await;
        let (allowance, weighing) = &mut *turns.lock();
        if is_right == Some(true) {
            while allowance.take(sandbox.as_str(), Instant::now()) {}
        }
        weighing.remove(&sandbox);
    };
    stream::poll_fn(|context| refused.poll_recv(context)).for_each_concurrent(AT_ONCE, weigh).await;
}

async fn put_right(
    storage: &dyn Storage,
    quota: &Arc<Quota>,
    sandbox: &SandboxId,
    settling: Duration,
    one: &Turn<()>,
) -> bool {
    // Had before anybody looks what was counted: that may change while others are weighed.
    let turn = one.lock().await;
    let weighing = async move {
        let bytes = storage.weigh(sandbox).await?;
        drop(turn);
        tokio::time::sleep(settling).await;
        Ok(bytes)
    };
    match quota.put_right(sandbox, weighing).await {
        Ok(true) => {
            tracing::info!(sandbox.id = %sandbox, "weighed what a sandbox stores that had no room left");
            return true;
        }
        Ok(false) => {
            tracing::debug!(sandbox.id = %sandbox, "what a sandbox stores has changed while it was weighed");
        }
        Err(error) => {
            tracing::warn!(sandbox.id = %sandbox, %error, "what a sandbox stores cannot be weighed");
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;
    use embedded::{Fsync, Options};
    use ports::rpc::Server;
    use ports::storage::{Ledger, Sums};
    use ports::{Error, Result};
    use tokio::sync::Semaphore;
    use types::LogId;

    use super::*;

    /// Everything weighs a hundred bytes.
    struct Scales {
        asked: AtomicUsize,
        answers: Semaphore,
    }

    impl Scales {
        fn with_answers(answers: usize) -> Self {
            Self { asked: AtomicUsize::new(0), answers: Semaphore::new(answers) }
        }
    }

    #[async_trait]
    impl Storage for Scales {
        async fn serve(&self, _: &Server, _: Arc<dyn Ledger>) -> Result<()> {
            Err(Error::NotFound)
        }

        async fn erase(&self, _: &SandboxId) -> Result<()> {
            Err(Error::NotFound)
        }

        async fn logs(&self, _: &SandboxId) -> Result<Vec<LogId>> {
            Err(Error::NotFound)
        }

        async fn weigh(&self, _: &SandboxId) -> Result<u64> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            self.answers.acquire().await.unwrap().forget();
            Ok(100)
        }
    }

    #[tokio::test]
    async fn a_sandbox_that_is_refused_all_the_time_is_weighed_once_and_others_too() {
        let folder = tempfile::tempdir().unwrap();
        let (ports, _guard) = embedded::open(Options::within(folder.path(), Fsync::Interval)).await.unwrap();
        let (quota, _refused) = Quota::new(ports.kv, 1_000);
        let [busy, other] = ["busy", "other"].map(|name| SandboxId::parse(name).unwrap());
        let (doubted, mut refused) = mpsc::channel(1);
        for sandbox in [&busy, &other] {
            quota.charge(sandbox, 1_000, || false).await.unwrap();
        }
        let scales = Scales::with_answers(100);
        let refusing = async {
            for sandbox in [&busy, &other] {
                doubted.send(sandbox.clone()).await.unwrap();
                while quota.charge(sandbox, 800, || false).await.is_err() {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
            // By now it has been weighed.
            for _ in 0..50 {
                doubted.send(busy.clone()).await.unwrap();
            }
            drop(doubted);
        };
        tokio::join!(keep_right(&scales, &quota, &mut refused, Duration::ZERO), refusing);
        assert_eq!(scales.asked.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn what_is_removed_while_others_are_weighed_counts_when_its_own_sandbox_is() {
        let folder = tempfile::tempdir().unwrap();
        let (ports, _guard) = embedded::open(Options::within(folder.path(), Fsync::Interval)).await.unwrap();
        let (quota, _refused) = Quota::new(ports.kv.clone(), 1_000);
        let [first, second] = ["first", "second"].map(|name| SandboxId::parse(name).unwrap());
        let (doubted, mut refused) = mpsc::channel(2);
        for sandbox in [&first, &second] {
            quota.charge(sandbox, 1_000, || false).await.unwrap();
            doubted.send(sandbox.clone()).await.unwrap();
        }
        let scales = Scales::with_answers(0);
        let removing = async {
            for _ in 0..100 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            assert_eq!(scales.asked.load(Ordering::Relaxed), 1, "the other waits");
            Sums::of(ports.kv.as_ref()).add(&second, -400).await.unwrap();
            scales.answers.add_permits(2);
            while quota.charge(&second, 800, || false).await.is_err() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            drop(doubted);
        };
        let both =
            async { tokio::join!(keep_right(&scales, &quota, &mut refused, Duration::ZERO), removing) };
        tokio::time::timeout(Duration::from_secs(10), both).await.expect("it has room again");
    }
}
