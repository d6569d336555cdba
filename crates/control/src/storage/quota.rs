//! How much the logs of a sandbox may hold, and do hold.
//!
//! Each process that serves workers adds up what it stores for a sandbox, and puts the sum into the bucket whenever
//! it has grown by a portion. So counting takes no message an append, and of what another process has stored each
//! may not know the last portion: that is by how much they can go beyond the quota together.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ports::{Bucket, Error, Kv, Result};
use tokio::sync::{Mutex as Turn, OwnedMutexGuard};
use types::SandboxId;
use types::buckets::STORED;

/// Bytes that are counted here before the others are told.
pub const PORTION: i64 = 1 << 20;
/// Bytes beyond the quota for what says that something has ended.
pub const RESERVE: i64 = 16 << 20;

/// What is stored, for whoever may store more.
pub struct Quota {
    kv: Arc<dyn Kv>,
    /// Bytes a sandbox.
    most: i64,
    accounts: Mutex<HashMap<SandboxId, Account>>,
}

#[derive(Default)]
struct Account {
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
    /// `most`: bytes a sandbox.
    pub fn new(kv: Arc<dyn Kv>, most: u64) -> Self {
        Self { kv, most: signed(most), accounts: Mutex::default() }
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
        if !self.accounts().contains_key(sandbox) {
            self.look(sandbox).await?;
        }
        if !self.add(sandbox, bytes, self.most) {
            // Something may have been removed.
            self.look(sandbox).await?;
            let most = if is_end() { self.most.saturating_add(RESERVE) } else { self.most };
            if !self.add(sandbox, bytes, most) {
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
        if let Some(account) = self.accounts().get_mut(sandbox) {
            account.unsaved -= signed(bytes);
        }
    }

    /// Tells the others of everything that was counted.
    pub async fn save_all(&self) {
        let sandboxes: Vec<SandboxId> = self.accounts().keys().cloned().collect();
        for sandbox in sandboxes {
            let turn = self.turn(&sandbox).lock_owned().await;
            self.save(&sandbox, 1, turn).await;
        }
    }

    fn add(&self, sandbox: &SandboxId, bytes: u64, most: i64) -> bool {
        let mut accounts = self.accounts();
        let account = accounts.entry(sandbox.clone()).or_default();
        let after = account.saved.saturating_add(account.unsaved).saturating_add(signed(bytes));
        let fits = after <= most;
        if fits {
            account.unsaved += signed(bytes);
        }
        fits
    }

    async fn look(&self, sandbox: &SandboxId) -> Result<()> {
        let saved = self.sums().get(sandbox.as_str()).await?.map(|saved| saved.value);
        let mut accounts = self.accounts();
        let account = accounts.entry(sandbox.clone()).or_default();
        (account.saved, account.is_known) = (saved.unwrap_or_default(), saved.is_some());
        Ok(())
    }

    /// Puts what was counted here, and what is meanwhile, into the bucket as long as it is `portion` or more.
    async fn save(&self, sandbox: &SandboxId, portion: i64, _turn: OwnedMutexGuard<()>) {
        while let Some(amount) = self.take(sandbox, portion) {
            let saved = self.sums().modify(sandbox.as_str(), |sum| *sum = sum.saturating_add(amount)).await;
            let mut accounts = self.accounts();
            let account = accounts.entry(sandbox.clone()).or_default();
            match saved {
                Ok(saved) => (account.saved, account.is_known) = (saved, true),
                Err(error) => {
                    account.saved -= amount;
                    account.unsaved += amount;
                    tracing::debug!(sandbox.id = %sandbox, %error, "what is stored cannot be counted now");
                    return;
                }
            }
        }
    }

    fn turn(&self, sandbox: &SandboxId) -> Arc<Turn<()>> {
        self.accounts().entry(sandbox.clone()).or_default().turn.clone()
    }

    fn sums(&self) -> Bucket<'_, i64> {
        Bucket::new(self.kv.as_ref(), STORED)
    }

    fn take(&self, sandbox: &SandboxId, portion: i64) -> Option<i64> {
        let mut accounts = self.accounts();
        let account = accounts.get_mut(sandbox)?;
        let portion = if account.is_known { portion } else { 1 };
        if account.unsaved.abs() < portion {
            return None;
        }
        let amount = std::mem::take(&mut account.unsaved);
        account.saved += amount;
        Some(amount)
    }

    fn full(&self) -> Error {
        Error::Full(format!(
            "The sandbox has stored all it may ({} MiB). Delete conversations of it, or its bash events.",
            self.most >> 20
        ))
    }

    fn accounts(&self) -> MutexGuard<'_, HashMap<SandboxId, Account>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
