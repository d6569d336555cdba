//! What workers store: who keeps it, and who decides how much that may be. Parts of a cluster only, where workers
//! have no storage of their own and ask for it.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use types::buckets::STORED;
use types::{LogId, SandboxId};

use crate::bucket::Versioned;
use crate::rpc::Server;
use crate::{Bucket, Expect, Kv, Result};

/// Keeps what workers store.
#[async_trait]
pub trait Storage: Send + Sync {
    /// Answers what workers ask, each about its own sandbox only. Any number of processes may do this; each call goes
    /// to one. Nothing is stored that `ledger` refuses.
    ///
    /// # Errors
    /// `Unavailable`: it ends with nothing else.
    async fn serve(&self, server: &Server, ledger: Arc<dyn Ledger>) -> Result<()>;

    /// Removes all logs of a sandbox and their bodies.
    async fn erase(&self, sandbox: &SandboxId) -> Result<()>;

    /// The logs of a sandbox that have records, in no order.
    async fn logs(&self, sandbox: &SandboxId) -> Result<Vec<LogId>>;

    /// What all that a sandbox stores should be counted as. All of it is read for that.
    async fn weigh(&self, sandbox: &SandboxId) -> Result<u64>;
}

/// The bytes that sandboxes store, as all processes together have counted them: in the bucket [`STORED`], which is changed
/// here and nowhere else.
pub struct Sums<'a>(Bucket<'a, i64>);

impl<'a> Sums<'a> {
    #[must_use]
    pub fn of(kv: &'a dyn Kv) -> Self {
        Self(Bucket::new(kv, STORED))
    }

    /// `None` where nobody has counted.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn get(&self, sandbox: &SandboxId) -> Result<Option<i64>> {
        Ok(self.seen(sandbox).await?.map(|sum| sum.value))
    }

    /// Adds `bytes`, or takes them off where they are less than none, and answers the sum, which never is.
    ///
    /// # Errors
    /// Those of the store. `Unavailable`: perhaps added.
    pub async fn add(&self, sandbox: &SandboxId, bytes: i64) -> Result<i64> {
        self.0.modify(sandbox.as_str(), |sum| *sum = sum.saturating_add(bytes).max(0)).await
    }

    /// Puts `bytes` in the place of a sum that is still as it was `seen`; false where it is not.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn put_right(&self, sandbox: &SandboxId, seen: &Versioned<i64>, bytes: i64) -> Result<bool> {
        let expect = Expect::Revision(seen.revision);
        Ok(self.0.put(sandbox.as_str(), &bytes, expect).await?.is_some())
    }

    /// The sum as it stands now, for [`Sums::put_right`]. `None` where nobody has counted.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn seen(&self, sandbox: &SandboxId) -> Result<Option<Versioned<i64>>> {
        self.0.get(sandbox.as_str()).await
    }

    /// Of a sandbox that is no more.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn forget(&self, sandbox: &SandboxId) -> Result<()> {
        self.0.remove(sandbox.as_str(), Expect::Anything).await.map(drop)
    }
}

/// Decides what may be stored for a sandbox, and counts it.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// Counts `bytes` that are about to be stored in a log. `records` gives what is stored, and nothing where that cannot be
    /// seen.
    ///
    /// # Errors
    /// `Full`: then they are not counted, and must not be stored. Those of the store.
    async fn charge(&self, log: &LogId, bytes: u64, records: &(dyn Fn() -> Vec<Bytes> + Sync)) -> Result<()>;

    /// Takes back what was counted and then not stored.
    fn refund(&self, sandbox: &SandboxId, bytes: u64);

    /// So many records of a worker were appended.
    fn appended(&self, records: usize);
}
