use std::time::Duration;

use futures_util::TryStreamExt;
use ports::buckets::IDEMPOTENCY;
use ports::{Change, Error, Expect, Kv, Ports};
use tokio_util::sync::CancellationToken;

use super::claim::is_expired;

const INTERVAL: Duration = Duration::from_secs(3_600);

/// Removes answers that are past their time, until `stop`. For stores that keep values for ever; a cluster's
/// drops them by itself.
pub async fn sweep(ports: Ports, stop: CancellationToken) {
    loop {
        if let Err(error) = sweep_once(&*ports.kv).await {
            tracing::warn!(%error, "old answers to calls with an Idempotency-Key are not removed");
        }
        if tokio::time::timeout(INTERVAL, stop.cancelled()).await.is_ok() {
            return;
        }
    }
}

async fn sweep_once(kv: &dyn Kv) -> ports::Result<()> {
    let mut answers = kv.scan(IDEMPOTENCY);
    while let Some(change) = answers.try_next().await? {
        let Change::Put { key: name, entry } = change else { continue };
        if !is_expired(&entry.value) {
            continue;
        }
        match kv.delete(IDEMPOTENCY, &name, Expect::Revision(entry.revision)).await {
            // Somebody uses the key again.
            Ok(()) | Err(Error::Conflict { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
