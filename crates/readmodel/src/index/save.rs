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

/// Of the folds that this release stores. It goes up whenever a field is added that the log says something of: a gateway of the
/// release before, which runs beside this one for a while, knows nothing of it.
const VERSION: u32 = 3;

/// A value of the bucket `PROJECTIONS`.
#[derive(Serialize, Deserialize)]
pub(super) struct Saved {
    #[serde(default)]
    version: u32,
    /// Of the record: tells a conversation from an earlier one with its id.
    created_at: String,
    projection: Projection,
}

impl Saved {
    /// What is stored of the conversation that was made then, if this release can go on from it.
    pub(super) fn of(&self, created_at: &str) -> Option<&Projection> {
        (self.version == VERSION && self.created_at == created_at).then_some(&self.projection)
    }
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
                let saved = Saved { version: VERSION, created_at: entry.created_at.to_string(), projection };
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
