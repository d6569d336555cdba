//! Which incarnation of a sandbox is the current one: bucket `ALLOCATIONS`, key = sandbox.

use ports::buckets::ALLOCATIONS as BUCKET;
use ports::{Error, Expect, Kv, Result};
use serde::{Deserialize, Serialize};
use types::{Epoch, SandboxId};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Allocation {
    epoch: Epoch,
}

/// Takes the next epoch of a sandbox. Never hands out the same one twice, whoever else asks.
///
/// # Errors
/// `Conflict` when somebody else took one at the same time; `Internal` when the stored record is damaged.
pub async fn next_epoch(kv: &dyn Kv, sandbox: &SandboxId) -> Result<Epoch> {
    let stored = kv.get(BUCKET, sandbox.as_str()).await?;
    let (current, expect) = match stored {
        None => (Allocation::default(), Expect::Absent),
        Some(entry) => (read(&entry.value)?, Expect::Revision(entry.revision)),
    };
    let next = Allocation { epoch: Epoch(current.epoch.0 + 1) };
    let value = serde_json::to_vec(&next).map_err(|error| Error::Internal(error.to_string()))?;
    kv.put(BUCKET, sandbox.as_str(), value.into(), expect).await?;
    Ok(next.epoch)
}

fn read(value: &[u8]) -> Result<Allocation> {
    serde_json::from_slice(value).map_err(|error| Error::Internal(format!("{BUCKET}: {error}")))
}
