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

use futures_util::{StreamExt, stream};
use parking_lot::Mutex;
use ports::storage::Sums;
use ports::{Error, Kv, Result};
use tokio::sync::{Mutex as Turn, OwnedMutexGuard, mpsc};
use tokio::time::{Instant, timeout};
use types::SandboxId;

/// Bytes that are counted here before the others are told.
pub const PORTION: i64 = 1 << 20;
/// Bytes beyond the quota for what says that something has ended.
pub const RESERVE: i64 = 16 << 20;

/// Sandboxes that may wait to be weighed.
const DOUBTED: usize = 64;

/// What telling the others of everything may take, and of how many sandboxes they are told at once.
const SAVING: Duration = Duration::from_secs(5);
const AT_ONCE: usize = 16;

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
    pub fn new(kv: Arc<dyn Kv>, most: u64) -> (Arc<Self>, mpsc::Receiver<SandboxId>) {
        let (doubted, refused) = mpsc::channel(DOUBTED);
        (Arc::new(Self { kv, most: signed(most), accounts: Mutex::default(), doubted }), refused)
    }

    /// Counts `bytes` that are about to be stored. `is_end` says whether they only tell that something has ended,
    /// for which there is a reserve.
    ///
    /// # Errors
    /// `Full`: then they are not counted. Those of the store.
    pub async fn charge(
        self: &Arc<Self>,
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

    /// Tells the others of everything that was counted, as far as the store takes it in time.
    pub async fn save_all(self: &Arc<Self>) {
        let sandboxes: Vec<SandboxId> = self.accounts.lock().keys().cloned().collect();
        let save = async |sandbox| {
            let turn = self.turn(&sandbox).lock_owned().await;
            self.save(&sandbox, 1, turn).await;
        };
        let saving = stream::iter(sandboxes).for_each_concurrent(AT_ONCE, save);
        if timeout(SAVING, saving).await.is_err() {
            tracing::warn!("not all that sandboxes have stored is counted");
        }
    }

    /// Has what is counted of a sandbox be what `weigh` says of it; false where it was counted anew meanwhile: nobody
    /// knows then whether that was weighed, too.
    ///
    /// # Errors
    /// Those of the store, and of `weigh`.
    pub async fn put_right(
        self: &Arc<Self>,
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
    pub async fn forget_idle(self: &Arc<Self>, idle: Duration) {
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

    /// Puts what was counted here, and what is meanwhile, into the bucket as long as it is `portion` or more. Goes on to its end
    /// also when nobody waits for it: what is given up on its way may arrive, and would be told twice.
    async fn save(self: &Arc<Self>, sandbox: &SandboxId, portion: i64, turn: OwnedMutexGuard<()>) {
        let mut next = self.take(sandbox, portion);
        if next.is_none() {
            return;
        }
        let (quota, sandbox) = (Arc::clone(self), sandbox.clone());
        let saving = tokio::spawn(async move {
            let _turn = turn;
            while let Some(taken) = next {
                match quota.sums().add(&sandbox, taken.amount).await {
                    Ok(saved) => taken.arrived(saved),
                    Err(error) => {
                        tracing::debug!(sandbox.id = %sandbox, %error, "what is stored cannot be counted now");
                        return;
                    }
                }
                next = quota.take(&sandbox, portion);
            }
        });
        // What a panic there has kept from arriving is still to be told.
        let _ = saving.await;
    }

    fn turn(&self, sandbox: &SandboxId) -> Arc<Turn<()>> {
        self.accounts.lock().entry(sandbox.clone()).or_default().turn.clone()
    }

    fn sums(&self) -> Sums<'_> {
        Sums::of(self.kv.as_ref())
    }

    fn take(self: &Arc<Self>, sandbox: &SandboxId, portion: i64) -> Option<Taken> {
        let mut accounts = self.accounts.lock();
        let account = accounts.get_mut(sandbox)?;
        let portion = if account.is_known { portion } else { 1 };
        if account.unsaved.abs() < portion {
            return None;
        }
        let amount = std::mem::take(&mut account.unsaved);
        account.saved += amount;
        Some(Taken { quota: Arc::clone(self), sandbox: sandbox.clone(), amount })
    }

    fn full(&self) -> Error {
        Error::Full(format!(
            "The sandbox has stored all it may ({} MiB). Delete conversations of it, or its bash events.",
            self.most >> 20
        ))
    }
}

/// What is on its way into the bucket. Where that fails it is still to be told.
struct Taken {
    quota: Arc<Quota>,
    sandbox: SandboxId,
    amount: i64,
}

impl Taken {
    fn arrived(mut self, saved: i64) {
        self.amount = 0;
        let mut accounts = self.quota.accounts.lock();
        let account = accounts.entry(self.sandbox.clone()).or_default();
        (account.saved, account.is_known) = (saved, true);
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        // The account may have been forgotten meanwhile.
        let mut accounts = self.quota.accounts.lock();
        let account = accounts.entry(self.sandbox.clone()).or_default();
        account.saved -= self.amount;
        account.unsaved += self.amount;
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
mod tests;
