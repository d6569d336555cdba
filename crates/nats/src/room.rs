//! The room that removed logs give back to their sandboxes, where somebody counts what they store.

use ports::{Bucket, Kv, Result};
use types::SandboxId;
use types::buckets::STORED;

/// Gives back what was removed; nothing where nobody counts.
///
/// # Errors
/// Those of the store.
pub async fn give_back(kv: &dyn Kv, sandbox: &SandboxId, bytes: u64) -> Result<()> {
    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
    let sums = Bucket::<i64>::new(kv, STORED);
    sums.modify(sandbox.as_str(), |sum| *sum = sum.saturating_sub(bytes).max(0)).await.map(drop)
}

/// Whether anybody has counted what the sandbox stores.
///
/// # Errors
/// Those of the store.
pub async fn is_counted(kv: &dyn Kv, sandbox: &SandboxId) -> Result<bool> {
    Ok(Bucket::<i64>::new(kv, STORED).get(sandbox.as_str()).await?.is_some())
}
