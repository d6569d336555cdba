//! What sandboxes have left in the store that are no more: above all logs that a worker named as it liked, which no
//! conversation knows. And the snapshots of conversations that are no more: a worker that was replaced, or an append that
//! was late, may have stored one after the others were deleted.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::TryStreamExt;
use ports::storage::{Storage, Sums};
use ports::{Change, Error, Kv, Ports, Result};
use readmodel::vital::contained;
use types::buckets::{CONVERSATIONS, SANDBOXES, STORED};
use types::{LogId, SandboxId};

use crate::placement::located;

const PAUSE: Duration = Duration::from_secs(3_600);

/// Sweeps now and then. Never returns.
pub async fn keep_swept(storage: &dyn Storage, ports: &Ports) {
    loop {
        if let Some(Err(error)) = contained("sweeping", sweep(storage, ports.kv.as_ref())).await {
            tracing::warn!(%error, "it cannot be found out what deleted sandboxes have left");
        }
        if let Some(Err(error)) = contained("sweeping snapshots", sweep_snapshots(storage, ports)).await {
            tracing::warn!(%error, "snapshots of deleted conversations are not removed");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// A sandbox has its record until its last worker is gone, and what it stores is counted from the first byte.
async fn sweep(storage: &dyn Storage, kv: &dyn Kv) -> Result<()> {
    let stored = keys(kv, STORED).await?;
    let known = keys(kv, SANDBOXES).await?;
    let mut left: BTreeSet<&str> = stored.difference(&known).map(String::as_str).collect();
    if left.is_empty() {
        return Ok(());
    }
    // Whatever became of the sandbox's record: no conversation is lost.
    let mut records = kv.scan(CONVERSATIONS);
    while let Some(change) = records.try_next().await? {
        let Change::Put { key, entry: record } = change else { continue };
        let Ok(sandbox) = located(&record) else {
            tracing::error!(
                key,
                "a conversation's record cannot be read; sandboxes that it names are not swept"
            );
            left.retain(|sandbox| !names(&record.value, sandbox));
            continue;
        };
        left.remove(sandbox.as_str());
    }
    for sandbox in left.into_iter().filter_map(SandboxId::parse) {
        match erase(storage, kv, &sandbox).await {
            Ok(()) => tracing::info!(sandbox.id = %sandbox, "removed what a deleted sandbox has left"),
            Err(error) => {
                tracing::warn!(sandbox.id = %sandbox, %error, "what a deleted sandbox has left is not removed");
            }
        }
    }
    Ok(())
}

async fn sweep_snapshots(storage: &dyn Storage, ports: &Ports) -> Result<()> {
    let sandboxes = keys(ports.kv.as_ref(), STORED).await?;
    for sandbox in sandboxes.iter().filter_map(|key| SandboxId::parse(key)) {
        if let Err(error) = sweep_snapshots_of(&sandbox, storage, ports).await {
            tracing::warn!(sandbox.id = %sandbox, %error, "snapshots of deleted conversations are not removed");
        }
    }
    Ok(())
}

async fn sweep_snapshots_of(sandbox: &SandboxId, storage: &dyn Storage, ports: &Ports) -> Result<()> {
    let logs: BTreeSet<LogId> = storage.logs(sandbox).await?.into_iter().collect();
    for log in &logs {
        let LogId::Snapshots { id, .. } = log else { continue };
        let has_record = async || Ok::<_, Error>(ports.kv.get(CONVERSATIONS, &id.hex()).await?.is_some());
        if logs.contains(&LogId::conversation(sandbox, *id)) || has_record().await? {
            continue;
        }
        // One that is made in this moment keeps what it stores.
        let extent = ports.log.extent(log).await?;
        if !has_record().await? {
            ports.log.remove(log, extent).await?;
            tracing::info!(%log, "removed the snapshot of a deleted conversation");
        }
    }
    Ok(())
}

async fn erase(storage: &dyn Storage, kv: &dyn Kv, sandbox: &SandboxId) -> Result<()> {
    storage.erase(sandbox).await?;
    Sums::of(kv).forget(sandbox).await
}

async fn keys(kv: &dyn Kv, bucket: &str) -> Result<BTreeSet<String>> {
    Ok(kv.list(bucket).await?.into_iter().map(|(key, _)| key).collect())
}

/// Whether the id stands anywhere in the text.
fn names(text: &[u8], sandbox: &str) -> bool {
    text.windows(sandbox.len().max(1)).any(|part| part == sandbox.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use async_trait::async_trait;
    use embedded::{Fsync, Options};
    use ports::rpc::Server;
    use ports::storage::Ledger;
    use ports::{Error, Expect};
    use types::{BashScope, ConversationId, Seq};

    use super::*;

    /// Notes what is erased; cannot erase the sandbox "stuck". Has these logs.
    #[derive(Default)]
    struct Noting(Mutex<BTreeSet<String>>, Vec<LogId>);

    #[async_trait]
    impl Storage for Noting {
        async fn serve(&self, _: &Server, _: Arc<dyn Ledger>) -> Result<()> {
            Ok(())
        }

        async fn erase(&self, sandbox: &SandboxId) -> Result<()> {
            if sandbox.as_str() == "stuck" {
                return Err(Error::Unavailable("not now".to_owned()));
            }
            self.0.lock().unwrap().insert(sandbox.to_string());
            Ok(())
        }

        async fn logs(&self, sandbox: &SandboxId) -> Result<Vec<LogId>> {
            Ok(self.1.iter().filter(|log| log.sandbox() == sandbox).cloned().collect())
        }

        async fn weigh(&self, _: &SandboxId) -> Result<u64> {
            Ok(0)
        }
    }

    #[tokio::test]
    async fn of_snapshots_only_those_of_deleted_conversations_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let options = Options::within(folder.path(), Fsync::Interval);
        let (ports, _guard) = embedded::open(options).await.unwrap();
        let sandbox = SandboxId::parse("a").unwrap();
        ports.kv.put(STORED, "a", "1".into(), Expect::Absent).await.unwrap();
        let [deleted, logged, recorded] = std::array::from_fn(|_| ConversationId::random());
        ports.kv.put(CONVERSATIONS, &recorded.hex(), "{}".into(), Expect::Absent).await.unwrap();
        let logs: Vec<LogId> = [deleted, logged, recorded]
            .map(|id| LogId::snapshots(&sandbox, id))
            .into_iter()
            .chain([
                LogId::conversation(&sandbox, logged),
                LogId::bash(&sandbox, BashScope::Conversation(deleted)),
            ])
            .collect();
        for log in &logs {
            ports.log.append(log, Seq::ZERO, vec!["{}".into()]).await.unwrap();
        }
        sweep_snapshots(&Noting(Mutex::default(), logs.clone()), &ports).await.unwrap();
        for log in &logs {
            let is_gone = ports.log.tail(log).await.unwrap() == Seq::ZERO;
            assert_eq!(is_gone, *log == LogId::snapshots(&sandbox, deleted), "{log}");
        }
    }

    #[tokio::test]
    async fn what_cannot_be_read_or_erased_keeps_nothing_else_from_being_swept() {
        let folder = tempfile::tempdir().unwrap();
        let options = Options::within(folder.path(), Fsync::Interval);
        let (ports, _guard) = embedded::open(options).await.unwrap();
        let kv = ports.kv.as_ref();
        for sandbox in ["alive", "gone", "lost", "named", "stuck", "torn"] {
            kv.put(STORED, sandbox, "1".into(), Expect::Anything).await.unwrap();
        }
        kv.put(SANDBOXES, "alive", "{}".into(), Expect::Anything).await.unwrap();
        let records = [("1", r#"{"sandbox":"named"}"#), ("2", r#"{"sandbox":"torn","tit"#), ("3", "")];
        for (key, record) in records {
            kv.put(CONVERSATIONS, key, record.into(), Expect::Anything).await.unwrap();
        }
        let storage = Noting::default();
        sweep(&storage, kv).await.unwrap();
        assert_eq!(*storage.0.lock().unwrap(), BTreeSet::from(["gone", "lost"].map(str::to_owned)));
        let left = BTreeSet::from(["alive", "named", "stuck", "torn"].map(str::to_owned));
        assert_eq!(keys(kv, STORED).await.unwrap(), left, "what could not be erased is tried again");
    }
}
