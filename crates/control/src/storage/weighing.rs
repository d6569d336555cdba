//! Weighs what sandboxes really store that were refused for want of room.

use std::time::{Duration, Instant};

use ports::Allowance;
use ports::storage::Storage;
use tokio::sync::mpsc;
use types::SandboxId;

use super::quota::Quota;

/// One sandbox is weighed so often at most: all that it stores is read for it.
const EVERY: Duration = Duration::from_secs(3_600);
/// And so often in a row, as it may be weighed in vain.
const IN_A_ROW: u32 = 3;

/// Weighs one after the other of those that are `refused`. Never returns while anybody can be.
pub async fn keep_right(
    storage: &dyn Storage,
    quota: &Quota,
    mut refused: mpsc::Receiver<SandboxId>,
    settling: Duration,
) {
    let mut weighed = Allowance::new(IN_A_ROW, EVERY);
    while let Some(sandbox) = refused.recv().await {
        if !weighed.take(sandbox.as_str(), Instant::now()) {
            continue;
        }
        let weighing = async {
            let bytes = storage.weigh(&sandbox).await?;
            tokio::time::sleep(settling).await;
            Ok(bytes)
        };
        match quota.put_right(&sandbox, weighing).await {
            Ok(true) => {
                tracing::info!(sandbox.id = %sandbox, "weighed what a sandbox stores that had no room left")
            }
            Ok(false) => {
                tracing::debug!(sandbox.id = %sandbox, "what a sandbox stores has changed while it was weighed")
            }
            Err(error) => {
                tracing::warn!(sandbox.id = %sandbox, %error, "what a sandbox stores cannot be weighed");
            }
        }
    }
}
