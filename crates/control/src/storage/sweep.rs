//! What sandboxes have left in the store that are no more: above all logs that a worker named as it liked, which no
//! conversation knows.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::TryStreamExt;
use ports::buckets::{CONVERSATIONS, SANDBOXES, STORED};
use ports::storage::Storage;
use ports::{Change, Error, Expect, Kv, KvEntry, Result};
use serde::Deserialize;
use types::SandboxId;

const PAUSE: Duration = Duration::from_secs(3_600);

/// Sweeps now and then. Never returns.
pub async fn keep_swept(storage: &dyn Storage, kv: &dyn Kv) {
    loop {
        if let Err(error) = sweep(storage, kv).await {
            tracing::warn!(%error, "what deleted sandboxes have left is not removed");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// A sandbox has its record until its last worker is gone, and what it stores is counted from the first byte.
async fn sweep(storage: &dyn Storage, kv: &dyn Kv) -> Result<()> {
    let stored = keys(kv, STORED).await?;
    let known = keys(kv, SANDBOXES).await?;
    let mut left: BTreeSet<&String> = stored.difference(&known).collect();
    if left.is_empty() {
        return Ok(());
    }
    // Whatever became of the sandbox's record: no conversation is lost.
    let mut records = kv.scan(CONVERSATIONS);
    while let Some(change) = records.try_next().await? {
        if let Change::Put { entry: record, .. } = change {
            left.remove(&sandbox_of(&record)?);
        }
    }
    for sandbox in left.into_iter().filter_map(|key| SandboxId::parse(key)) {
        storage.erase(&sandbox).await?;
        kv.delete(STORED, sandbox.as_str(), Expect::Anything).await?;
        tracing::info!(sandbox.id = %sandbox, "removed what a deleted sandbox has left");
    }
    Ok(())
}

async fn keys(kv: &dyn Kv, bucket: &str) -> Result<BTreeSet<String>> {
    Ok(kv.list(bucket).await?.into_iter().map(|(key, _)| key).collect())
}

fn sandbox_of(record: &KvEntry) -> Result<String> {
    #[derive(Deserialize)]
    struct Record {
        sandbox: String,
    }
    let record: Record =
        serde_json::from_slice(&record.value).map_err(|error| Error::Internal(error.to_string()))?;
    Ok(record.sandbox)
}
