//! What workers store: who keeps it, and who decides how much that may be. Parts of a cluster only, where workers
//! have no storage of their own and ask for it.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use types::{LogId, SandboxId};

use crate::Result;
use crate::rpc::Server;

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
}

/// Decides what workers may store, and counts it.
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
