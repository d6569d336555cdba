//! Stores folds of logs that have come to rest, so that the next start need not read those logs.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use ports::Expect;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use types::conversation::Projection;

use super::follow::PARALLEL_READS;
use super::{Index, PROJECTIONS};
use crate::vital;

/// How long a conversation must have been quiet, and how often that is looked at.
const QUIET: Duration = Duration::from_secs(5);

/// A value of the bucket `PROJECTIONS`.
#[derive(Serialize, Deserialize)]
pub(super) struct Saved {
    /// Of the record: tells a conversation from an earlier one with its id.
    pub(super) created_at: String,
    pub(super) projection: Projection,
}

pub(super) fn spawn(index: &Index, tasks: &TaskTracker, drain: &CancellationToken) {
    let (index, drain) = (index.clone(), drain.clone());
    tasks.spawn(async move {
        while tokio::time::timeout(QUIET, drain.cancelled()).await.is_err() {
            vital::contained("saving projections", index.save(QUIET)).await;
        }
        index.save(Duration::ZERO).await;
    });
}

impl Index {
    async fn save(&self, quiet: Duration) {
        let entries = self.directory().all();
        let due = entries.into_iter().filter_map(|entry| Some((entry.due_for_saving(quiet)?, entry)));
        stream::iter(due)
            .for_each_concurrent(PARALLEL_READS, async |(projection, entry)| {
                let seq = projection.seq;
                let saved = Saved { created_at: entry.created_at.to_string(), projection };
                let Ok(value) = serde_json::to_vec(&saved) else { return };
                let key = entry.id.hex();
                match self.0.ports.kv.put(PROJECTIONS, &key, value.into(), Expect::Anything).await {
                    Ok(_) => entry.saved(seq),
                    Err(error) => {
                        tracing::debug!(conversation.id = %entry.id, %error, "a projection is not saved")
                    }
                }
            })
            .await;
    }
}
