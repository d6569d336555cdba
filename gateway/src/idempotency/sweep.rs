//! Removes answers that are past their time.

use std::time::Duration;

use futures_util::TryStreamExt;
use ports::{Expect, Kv, Ports};
use readmodel::vital::contained;
use tokio_util::sync::CancellationToken;

use super::claim;

const INTERVAL: Duration = Duration::from_secs(3_600);

/// Removes answers that are past their time, until `stop`. For stores that keep values for ever; a cluster's
/// drops them by itself.
pub async fn sweep(ports: Ports, stop: CancellationToken) {
    loop {
        if let Some(Err(error)) = contained("removing old answers", sweep_once(&*ports.kv)).await {
            tracing::warn!(%error, "old answers to calls with an Idempotency-Key are not removed");
        }
        if tokio::time::timeout(INTERVAL, stop.cancelled()).await.is_ok() {
            return;
        }
    }
}

async fn sweep_once(kv: &dyn Kv) -> ports::Result<()> {
    let answers = claim::all(kv);
    let mut found = answers.scan();
    while let Some(update) = found.try_next().await? {
        if let Some((key, revision)) = claim::expired(update) {
            // Unless somebody uses the key again.
            answers.remove(&key, Expect::Revision(revision)).await?;
        }
    }
    Ok(())
}
