//! How much the logs of a sandbox may hold, and do hold.
//!
//! Each process that serves workers adds up what it stores for a sandbox, and puts the sum into the bucket whenever
//! it has grown by a portion. So counting takes no message an append, and of what another process has stored each
//! may not know the last portion: that is by how much they can go beyond the quota together.
//!
//! ```text
//!   charge ─▶ unsaved ──a portion──▶ saved, in the bucket
//!     │                                 ▲
//!     └─ full ─▶ doubted ─▶ weighed ────┘  what is really stored
//! ```
//!
//! What goes unanswered counts as stored, and what a process that dies has not told counts as nothing. So the sums go
//! wrong with time, mostly to the harm of the sandbox, as what was removed comes back without an answer as well. One that
//! is refused is therefore in doubt, and has all that it stores weighed (`weighing`): once in a while, since all of it is
//! read for that. The weight takes the place of the sum only if that is still what it was before: where something was
//! counted or given back meanwhile, or another process has weighed it, too, it is weighed again another time. What a process
//! has counted and not told by then may count twice: a portion at most.
//!
//! An account is kept for as long as its sandbox stores something now and then; later it is looked up again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use ports::storage::Sums;
use ports::{Error, Kv, Result};
use tokio::sync::{Mutex as Turn, OwnedMutexGuard, mpsc};
use tokio::time::Instant;
use types::SandboxId;

/// Bytes that are counted here before the others are told.
pub const PORTION: i64 = 1 << 20;
/// Bytes beyond the quota for what says that something has ended.
pub const RESERVE: i64 = 16 << 20;

/// Sandboxes that may wait to be weighed.
const DOUBTED: usize = 64;

/// What is stored, for whoever may store more.
pub struct Quota {
    kv: Arc<dyn Kv>,
    /// Bytes a sandbox.
    most: i64,
    accounts: Mutex<HashMap<SandboxId, Account>>,
    doubted: mpsc::Sender<SandboxId>,
}

struct Account {
    used: Instant,
    /// In the bucket, as it was seen last.
    saved: i64,
    /// Whether it is in the bucket at all: where it is not, the first byte is told at once.
    is_known: bool,
    /// Counted here, and not in the bucket yet.
    unsaved: i64,
    /// Held by whoever puts it there.
    turn: Arc<Turn<()>>,
}

impl Quota {
    /// `most`: bytes a sandbox. Beside it the sandboxes that were refused.
    pub fn new(kv: Arc<dyn Kv>, most: u64) -> (Self, mpsc::Receiver<SandboxId>) {
        let (doubted, refused) = mpsc::channel(DOUBTED);
        (Self { kv, most: signed(most), accounts: Mutex::default(), doubted }, refused)
    }

    /// Counts `bytes` that are about to be stored. `is_end` says whether they only tell that something has ended,
    /// for which there is a reserve.
    ///
    /// # Errors
    /// `Full`: then they are not counted. Those of the store.
    pub async fn charge(
        &self,
        sandbox: &SandboxId,
        bytes: u64,
        is_end: impl FnOnce() -> bool + Send,
    ) -> Result<()> {
        if !self.is_known(sandbox) {
            self.look(sandbox).await?;
        }
        if !self.add(sandbox, bytes, self.most) {
            // Something may have been removed.
            self.look(sandbox).await?;
            let most = if is_end() { self.most.saturating_add(RESERVE) } else { self.most };
            if !self.add(sandbox, bytes, most) {
                // One that finds no room here comes again.
                let _ = self.doubted.try_send(sandbox.clone());
                return Err(self.full());
            }
        }
        // Whoever is saving already takes it along; many at once would only keep each other from the one value.
        if let Ok(turn) = self.turn(sandbox).try_lock_owned() {
            self.save(sandbox, PORTION, turn).await;
        }
        Ok(())
    }

    /// Takes back what was counted and then not stored.
    pub fn refund(&self, sandbox: &SandboxId, bytes: u64) {
        if let Some(account) = self.accounts.lock().get_mut(sandbox) {
            account.unsaved -= signed(bytes);
        }
    }

    /// Tells the others of everything that was counted.
    pub async fn save_all(&self) {
        let sandboxes: Vec<SandboxId> = self.accounts.lock().keys().cloned().collect();
        for sandbox in sandboxes {
            let turn = self.turn(&sandbox).lock_owned().await;
            self.save(&sandbox, 1, turn).await;
        }
    }

    /// Has what is counted of a sandbox be what `weigh` says of it; false where it was counted anew meanwhile: nobody
    /// knows then whether that was weighed, too.
    ///
    /// # Errors
    /// Those of the store, and of `weigh`.
    pub async fn put_right(
        &self,
        sandbox: &SandboxId,
        weigh: impl Future<Output = Result<u64>>,
    ) -> Result<bool> {
        let turn = self.turn(sandbox).lock_owned().await;
        self.save(sandbox, 1, turn).await;
        let Some(counted) = self.sums().seen(sandbox).await? else { return Ok(false) };
        let is_right = self.sums().put_right(sandbox, &counted, signed(weigh.await?)).await?;
        self.look(sandbox).await?;
        Ok(is_right)
    }

    /// Forgets who has stored nothing for so long, once the others know all of it.
    pub async fn forget_idle(&self, idle: Duration) {
        let is_idle = |account: &Account| account.used.elapsed() >= idle;
        let found = |(sandbox, account): (&SandboxId, &Account)| is_idle(account).then(|| sandbox.clone());
        let sandboxes: Vec<SandboxId> = self.accounts.lock().iter().filter_map(found).collect();
        for sandbox in sandboxes {
            let turn = self.turn(&sandbox).lock_owned().await;
            self.save(&sandbox, 1, turn).await;
            let mut accounts = self.accounts.lock();
            if accounts.get(&sandbox).is_some_and(|account| is_idle(account) && account.unsaved == 0) {
                accounts.remove(&sandbox);
            }
        }
    }

    /// Whether there is an account. Once it was asked for it stays for a while.
    fn is_known(&self, sandbox: &SandboxId) -> bool {
        let mut accounts = self.accounts.lock();
        let account = accounts.get_mut(sandbox);
        account.map(|account| account.used = Instant::now()).is_some()
    }

    fn add(&self, sandbox: &SandboxId, bytes: u64, most: i64) -> bool {
        let mut accounts = self.accounts.lock();
        let account = accounts.entry(sandbox.clone()).or_default();
        let after = account.saved.saturating_add(account.unsaved).saturating_add(signed(bytes));
        let fits = after <= most;
        if fits {
            account.unsaved += signed(bytes);
        }
        fits
    }

    async fn look(&self, sandbox: &SandboxId) -> Result<()> {
        let saved = self.sums().get(sandbox).await?;
        let mut accounts = self.accounts.lock();
        let account = accounts.entry(sandbox.clone()).or_default();
        (account.saved, account.is_known) = (saved.unwrap_or_default(), saved.is_some());
        Ok(())
    }

    /// Puts what was counted here, and what is meanwhile, into the bucket as long as it is `portion` or more.
    async fn save(&self, sandbox: &SandboxId, portion: i64, _turn: OwnedMutexGuard<()>) {
        while let Some(taken) = self.take(sandbox, portion) {
            match self.sums().add(sandbox, taken.amount).await {
                Ok(saved) => taken.arrived(saved),
                Err(error) => {
                    tracing::debug!(sandbox.id = %sandbox, %error, "what is stored cannot be counted now");
                    return;
                }
            }
        }
    }

    fn turn(&self, sandbox: &SandboxId) -> Arc<Turn<()>> {
        self.accounts.lock().entry(sandbox.clone()).or_default().turn.clone()
    }

    fn sums(&self) -> Sums<'_> {
        Sums::of(self.kv.as_ref())
    }

    fn take<'a>(&'a self, sandbox: &'a SandboxId, portion: i64) -> Option<Taken<'a>> {
        let mut accounts = self.accounts.lock();
        let account = accounts.get_mut(sandbox)?;
        let portion = if account.is_known { portion } else { 1 };
        if account.unsaved.abs() < portion {
            return None;
        }
        let amount = std::mem::take(&mut account.unsaved);
        account.saved += amount;
        Some(Taken { quota: self, sandbox, amount })
    }

    fn full(&self) -> Error {
        Error::Full(format!(
            "The sandbox has stored all it may ({} MiB). Delete conversations of it, or its bash events.",
            self.most >> 20
        ))
    }
}

/// What is on its way into the bucket. Where that fails, or is given up, it is still to be told.
struct Taken<'a> {
    quota: &'a Quota,
    sandbox: &'a SandboxId,
    amount: i64,
}

impl Taken<'_> {
    fn arrived(mut self, saved: i64) {
        self.amount = 0;
        let mut accounts = self.quota.accounts.lock();
        let account = accounts.entry(self.sandbox.clone()).or_default();
        (account.saved, account.is_known) = (saved, true);
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if let Some(account) = self.quota.accounts.lock().get_mut(self.sandbox) {
            account.saved -= self.amount;
            account.unsaved += self.amount;
        }
    }
}

impl Default for Account {
    fn default() -> Self {
        Self { used: Instant::now(), saved: 0, is_known: false, unsaved: 0, turn: Arc::default() }
    }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use async_trait::async_trait;
    use embedded::{Fsync, Options};
    use futures_util::FutureExt;
    use ports::KvEntry;
    use ports::doubles::KvDouble;

    use super::*;

    #[tokio::test]
    async fn who_stores_nothing_any_more_has_no_account_and_what_it_has_stored_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let (ports, _guard) = embedded::open(Options::within(folder.path(), Fsync::Interval)).await.unwrap();
        let (quota, _refused) = Quota::new(ports.kv, 1_000);
        let [idle, busy] = ["idle", "busy"].map(|name| SandboxId::parse(name).unwrap());
        for bytes in [400, 100] {
            quota.charge(&idle, bytes, || false).await.unwrap();
        }
        quota.forget_idle(Duration::from_secs(3_600)).await;
        assert_eq!(quota.accounts.lock().len(), 1, "it may store more");
        quota.forget_idle(Duration::ZERO).await;
        assert!(quota.accounts.lock().is_empty());
        quota.charge(&busy, 100, || false).await.unwrap();
        assert_eq!(quota.sums().get(&idle).await, Ok(Some(500)));
        assert!(matches!(quota.charge(&idle, 501, || false).await, Err(Error::Full(_))));
        quota.charge(&idle, 500, || false).await.unwrap();
    }

    /// What has counted 400 bytes of a sandbox in the bucket, and 100 more that the others do not know of.
    async fn with_a_part_untold(store: Arc<dyn Kv>) -> (Quota, SandboxId) {
        let (quota, _) = Quota::new(store, 1_000);
        let sandbox = SandboxId::parse("a").unwrap();
        for bytes in [400, 100] {
            quota.charge(&sandbox, bytes, || false).await.unwrap();
        }
        (quota, sandbox)
    }

    /// A store that does not answer the first time.
    struct Silent(Arc<dyn Kv>, AtomicBool);

    #[async_trait]
    impl KvDouble for Silent {
        fn inner(&self) -> Result<&dyn Kv> {
            Ok(self.0.as_ref())
        }

        async fn get(&self, bucket: &str, key: &str) -> Result<Option<KvEntry>> {
            if self.1.swap(false, Ordering::SeqCst) {
                std::future::pending::<()>().await;
            }
            self.0.get(bucket, key).await
        }
    }

    #[tokio::test]
    async fn what_is_given_up_on_its_way_to_the_others_is_told_the_next_time() {
        let folder = tempfile::tempdir().unwrap();
        let (ports, _guard) = embedded::open(Options::within(folder.path(), Fsync::Interval)).await.unwrap();
        let store = Arc::new(Silent(ports.kv, AtomicBool::new(false)));
        let (quota, sandbox) = with_a_part_untold(store.clone()).await;
        store.1.store(true, Ordering::SeqCst);
        assert_eq!(quota.save_all().now_or_never(), None);
        quota.save_all().await;
        assert_eq!(quota.sums().get(&sandbox).await, Ok(Some(500)));
    }

    /// A store that panics once.
    struct Defective(Arc<dyn Kv>, AtomicBool);

    #[async_trait]
    impl KvDouble for Defective {
        fn inner(&self) -> Result<&dyn Kv> {
            assert!(!self.1.swap(false, Ordering::SeqCst), "a defect");
            Ok(self.0.as_ref())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_over_one_account_keeps_none_from_being_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let (ports, _guard) = embedded::open(Options::within(folder.path(), Fsync::Interval)).await.unwrap();
        let store = Arc::new(Defective(ports.kv, AtomicBool::new(false)));
        let (quota, _) = with_a_part_untold(store.clone()).await;
        store.1.store(true, Ordering::SeqCst);
        // Hours pass, while the store needs its time.
        let until_forgotten = async {
            let began = std::time::Instant::now();
            while !quota.accounts.lock().is_empty() {
                assert!(began.elapsed() < Duration::from_secs(10), "it is kept");
                tokio::time::advance(Duration::from_secs(600)).await;
            }
        };
        tokio::select! {
            _ = super::super::keep_few_accounts(&quota) => {}
            () = until_forgotten => {}
        }
    }

    #[tokio::test]
    async fn what_is_weighed_takes_the_place_of_what_was_counted() {
        let folder = tempfile::tempdir().unwrap();
        let (ports, _guard) = embedded::open(Options::within(folder.path(), Fsync::Interval)).await.unwrap();
        let (quota, mut refused) = Quota::new(ports.kv, 1_000);
        let sandbox = SandboxId::parse("a").unwrap();
        quota.charge(&sandbox, 900, || false).await.unwrap();
        quota.charge(&sandbox, 101, || false).await.unwrap_err();
        assert_eq!(refused.try_recv().as_ref(), Ok(&sandbox));
        assert_eq!(quota.put_right(&sandbox, async { Ok(300) }).await, Ok(true));
        quota.charge(&sandbox, 700, || false).await.unwrap();
        quota.charge(&sandbox, 1, || false).await.unwrap_err();
        let away = async { Err(Error::Unavailable("away".to_owned())) };
        quota.put_right(&sandbox, away).await.unwrap_err();
        quota.save_all().await;
        assert_eq!(quota.sums().get(&sandbox).await, Ok(Some(1_000)));
    }

    #[tokio::test]
    async fn what_is_counted_while_it_is_weighed_is_not_taken_for_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let (ports, _guard) = embedded::open(Options::within(folder.path(), Fsync::Interval)).await.unwrap();
        let (quota, _refused) = Quota::new(ports.kv, 1_000);
        let sandbox = SandboxId::parse("a").unwrap();
        quota.charge(&sandbox, 1_000, || false).await.unwrap();
        let removed_meanwhile = async {
            quota.sums().add(&sandbox, -400).await.unwrap();
            Ok(600)
        };
        assert_eq!(quota.put_right(&sandbox, removed_meanwhile).await, Ok(false));
        let put_right_elsewhere = async {
            assert_eq!(quota.put_right(&sandbox, async { Ok(600) }).await, Ok(true));
            Ok(600)
        };
        assert_eq!(quota.put_right(&sandbox, put_right_elsewhere).await, Ok(false));
        assert_eq!(quota.sums().get(&sandbox).await, Ok(Some(600)));
    }
}
