//! What is counted of conversations that are no more: a call that was under way may be counted after its conversation was
//! forgotten, and whoever deleted it may have died before he could forget it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt;
use ports::{Change, Error, Expect, Kv, Result};
use readmodel::index::Index;
use readmodel::vital::contained;
use types::ConversationId;
use types::buckets::BUDGETS;
use types::conversation::ConversationRecord;

use super::Models;
use super::budget::{conversation_of, key_before, key_of};

const PAUSE: Duration = Duration::from_secs(3_600);

impl Models {
    /// Sweeps now and then. Never returns.
    pub(crate) async fn keep_swept(self, kv: Arc<dyn Kv>) {
        loop {
            tokio::time::sleep(PAUSE).await;
            if let Some(Err(error)) = contained("sweeping sums", sweep(kv.as_ref(), &self.0.index)).await {
                tracing::warn!(%error, "what deleted conversations have spent stays for now");
            }
        }
    }
}

/// A conversation has its record before it spends anything. So what is listed first, and has no record then, has none for good.
async fn sweep(kv: &dyn Kv, index: &Index) -> Result<()> {
    let (mut suspects, mut sums) = (Vec::new(), kv.scan(BUDGETS));
    while let Some(change) = sums.try_next().await? {
        let Change::Put { key, entry } = change else { continue };
        let Some(id) = conversation_of(&key) else { continue };
        if !index.any(id).is_some_and(|known| is_of(&key, id, &known.record())) {
            suspects.push((key, id, entry.revision));
        }
    }
    for (key, id, revision) in suspects {
        match index.read(id).await {
            Ok(Some(record)) if is_of(&key, id, &record) => continue,
            Ok(_) => {}
            // A record that cannot be read keeps its own sum, and no other.
            Err(Error::Internal(error)) => {
                tracing::warn!(conversation.id = %id, %error, "what a conversation has spent stays");
                continue;
            }
            Err(error) => return Err(error),
        }
        match kv.delete(BUDGETS, &key, Expect::Revision(revision)).await {
            Ok(()) => tracing::debug!(conversation.id = %id, "forgot what a deleted conversation has spent"),
            // It has been counted again: the next time.
            Err(Error::Conflict { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn is_of(key: &str, id: ConversationId, record: &ConversationRecord) -> bool {
    key == key_of(record) || key == key_before(id)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::json;
    use tokio_util::sync::CancellationToken;
    use tokio_util::task::TaskTracker;
    use types::buckets::CONVERSATIONS;

    use super::*;

    fn record(id: ConversationId, created_at: &str) -> ConversationRecord {
        serde_json::from_value(json!({"id": id, "sandbox": "default", "created_at": created_at, "title": null,
            "workspace": {"working_dir": "/w", "kind": "LocalWorkspace"}, "agent": {}, "max_iterations": 1,
            "stuck_detection": true, "confirmation_policy": {"kind": "NeverConfirm"}, "security_analyzer": null}))
        .unwrap()
    }

    #[tokio::test]
    async fn what_conversations_have_spent_that_are_no_more_is_swept_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let options = embedded::Options::within(folder.path(), embedded::Fsync::Interval);
        let (ports, _guard) = embedded::open(options).await.unwrap();
        let (tasks, drain) = (TaskTracker::new(), CancellationToken::new());
        let index = Index::start(&ports, &tasks, &drain).await.unwrap();
        let (alive, gone) = (ConversationId::random(), ConversationId::random());
        // Found before all others.
        let damaged = ConversationId(uuid::Uuid::nil());
        ports.kv.put(CONVERSATIONS, &damaged.hex(), Bytes::from_static(b"{"), Expect::Absent).await.unwrap();
        let [earlier, present] = ["2026-11-23T00:00:00.000000Z", "2026-11-24T00:00:00.000000Z"];
        index.create(&record(alive, present)).await.unwrap();
        let keys = [
            (key_of(&record(alive, present)), true),
            (key_before(alive), true),
            (key_of(&record(alive, earlier)), false),
            (key_of(&record(gone, present)), false),
            (key_before(gone), false),
            (key_before(damaged), true),
            ("tenant.default".to_owned(), true),
        ];
        for (key, _) in &keys {
            ports.kv.put(BUDGETS, key, Bytes::from_static(b"{}"), Expect::Absent).await.unwrap();
        }
        sweep(ports.kv.as_ref(), &index).await.unwrap();
        for (key, stays) in keys {
            assert_eq!(ports.kv.get(BUDGETS, &key).await.unwrap().is_some(), stays, "{key}");
        }
    }
}
