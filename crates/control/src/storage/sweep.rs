//! What sandboxes have left in the store that are no more: above all logs that a worker named as it liked, which no
//! conversation knows. And the logs of conversations that are no more: a worker that was replaced, or an append that was late,
//! may have stored something after they were deleted, or whoever deleted them died before all was removed.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::TryStreamExt;
use ports::storage::{Storage, Sums};
use ports::{Change, Error, Kv, Ports, Result};
use readmodel::vital::contained;
use types::SandboxId;
use types::buckets::{CONVERSATIONS, SANDBOXES, STORED};

use crate::placement::located;

const PAUSE: Duration = Duration::from_secs(3_600);

/// Sweeps now and then. Never returns.
pub async fn keep_swept(storage: &dyn Storage, ports: &Ports) {
    loop {
        if let Some(Err(error)) = contained("sweeping", sweep(storage, ports.kv.as_ref())).await {
            tracing::warn!(%error, "it cannot be found out what deleted sandboxes have left");
        }
        if let Some(Err(error)) = contained("sweeping logs", sweep_logs(storage, ports)).await {
            tracing::warn!(%error, "logs of deleted conversations are not removed");
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

async fn sweep_logs(storage: &dyn Storage, ports: &Ports) -> Result<()> {
    let sandboxes = keys(ports.kv.as_ref(), STORED).await?;
    for sandbox in sandboxes.iter().filter_map(|key| SandboxId::parse(key)) {
        if let Err(error) = sweep_logs_of(&sandbox, storage, ports).await {
            tracing::warn!(sandbox.id = %sandbox, %error, "logs of deleted conversations are not removed");
        }
    }
    Ok(())
}

async fn sweep_logs_of(sandbox: &SandboxId, storage: &dyn Storage, ports: &Ports) -> Result<()> {
    for log in storage.logs(sandbox).await? {
        let Some(id) = log.of_conversation() else { continue };
        let is_in_use = async || {
            let record = ports.kv.get(CONVERSATIONS, &id.hex()).await?;
            // One that cannot be read may be of this sandbox.
            Ok::<_, Error>(
                record.is_some_and(|record| located(&record).map_or(true, |named| named == *sandbox)),
            )
        };
        if is_in_use().await? {
            continue;
        }
        // A conversation that is made in this moment keeps what it stores.
        let extent = ports.log.extent(&log).await?;
        if !is_in_use().await? {
            ports.log.remove(&log, extent).await?;
            tracing::info!(%log, "removed a log of a deleted conversation");
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
    use types::{BashScope, ConversationId, LogId, Seq};

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
    async fn logs_of_conversations_without_a_record_are_swept_from_a_living_sandbox() {
        let folder = tempfile::tempdir().unwrap();
        let options = Options::within(folder.path(), Fsync::Interval);
        let (ports, _guard) = embedded::open(options).await.unwrap();
        let sandbox = SandboxId::parse("a").unwrap();
        ports.kv.put(STORED, "a", "1".into(), Expect::Absent).await.unwrap();
        let [deleted, elsewhere, here, damaged] = std::array::from_fn(|_| ConversationId::random());
        let records =
            [(elsewhere, r#"{"sandbox":"b"}"#), (here, r#"{"sandbox":"a"}"#), (damaged, r#"{"sandbox":"#)];
        for (id, record) in records {
            ports.kv.put(CONVERSATIONS, &id.hex(), record.into(), Expect::Absent).await.unwrap();
        }
        let mut logs = vec![LogId::bash(&sandbox, BashScope::Sandbox)];
        for id in [deleted, elsewhere, here, damaged] {
            logs.push(LogId::conversation(&sandbox, id));
            logs.push(LogId::bash(&sandbox, BashScope::Conversation(id)));
            logs.push(LogId::snapshots(&sandbox, id));
        }
        for log in &logs {
            ports.log.append(log, Seq::ZERO, vec!["{}".into()]).await.unwrap();
        }
        sweep_logs(&Noting(Mutex::default(), logs.clone()), &ports).await.unwrap();
        for log in &logs {
            let is_gone = ports.log.tail(log).await.unwrap() == Seq::ZERO;
            let is_left = log.of_conversation().is_some_and(|id| id == deleted || id == elsewhere);
            assert_eq!(is_gone, is_left, "{log}");
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
