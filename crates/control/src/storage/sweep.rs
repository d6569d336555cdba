//! What sandboxes have left in the store that are no more: above all logs that a worker named as it liked, which no
//! conversation knows. And the logs of conversations that are no more: a worker that was replaced, or an append that was late,
//! may have stored something after they were deleted, or whoever deleted them died before all was removed.
//!
//! A log may also be there before its record: of a conversation that is being made from another one, or while a store is put
//! back; and so may what a sandbox has stored. So nothing goes that was not unknown a whole pause before as well, and no more of
//! a log than there was then; and where there are no conversations at all, nothing tells which of them were deleted.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::TryStreamExt;
use ports::storage::{Storage, Sums};
use ports::{Change, Extent, Kv, Ports, Result};
use readmodel::vital::contained;
use types::buckets::{CONVERSATIONS, SANDBOXES, STORED};
use types::{ConversationId, LogId, SandboxId};

use crate::placement::located;

/// The logs without a record in one round, and how far they reached then.
type Suspects = BTreeMap<LogId, Extent>;

/// Sweeps with a `pause` between the rounds. Never returns.
pub async fn keep_swept(storage: &dyn Storage, ports: &Ports, pause: Duration) {
    let (mut unknown, mut suspects) = (BTreeSet::new(), Suspects::new());
    loop {
        // What was found before a round that failed is older than one pause.
        unknown = found(contained("sweeping", sweep(storage, ports.kv.as_ref(), &unknown)).await);
        suspects = found(contained("sweeping logs", sweep_logs(storage, ports, &suspects)).await);
        tokio::time::sleep(pause).await;
    }
}

fn found<T: Default>(swept: Option<Result<T>>) -> T {
    match swept {
        Some(Ok(found)) => found,
        Some(Err(error)) => {
            tracing::warn!(%error, "what nobody knows any more is not removed");
            T::default()
        }
        None => T::default(),
    }
}

/// Erases what is left of the sandboxes that nobody knew in the round before either; answers whom nobody knows in this one.
///
/// A sandbox has its record until its last worker is gone, and what it stores is counted from the first byte.
async fn sweep(storage: &dyn Storage, kv: &dyn Kv, earlier: &BTreeSet<String>) -> Result<BTreeSet<String>> {
    let stored = keys(kv, STORED).await?;
    let known = keys(kv, SANDBOXES).await?;
    let mut left: BTreeSet<&str> = stored.difference(&known).map(String::as_str).collect();
    // Whatever became of the sandbox's record: no conversation is lost.
    if left.is_empty() || is_empty(kv, CONVERSATIONS).await? {
        return Ok(BTreeSet::new());
    }
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
    let found: BTreeSet<String> = left.into_iter().map(str::to_owned).collect();
    for sandbox in found.intersection(earlier).filter_map(|sandbox| SandboxId::parse(sandbox)) {
        match erase(storage, kv, &sandbox).await {
            Ok(()) => tracing::info!(sandbox.id = %sandbox, "removed what a deleted sandbox has left"),
            Err(error) => {
                tracing::warn!(sandbox.id = %sandbox, %error, "what a deleted sandbox has left is not removed");
            }
        }
    }
    Ok(found)
}

/// Removes what was there of the suspects of the round before; answers those of this one.
async fn sweep_logs(storage: &dyn Storage, ports: &Ports, suspects: &Suspects) -> Result<Suspects> {
    let mut found = Suspects::new();
    if is_empty(ports.kv.as_ref(), CONVERSATIONS).await? {
        return Ok(found);
    }
    // What is stored is counted only where there is a limit.
    let (counted, known) =
        (keys(ports.kv.as_ref(), STORED).await?, keys(ports.kv.as_ref(), SANDBOXES).await?);
    for sandbox in counted.union(&known).filter_map(|key| SandboxId::parse(key)) {
        match sweep_logs_of(&sandbox, storage, ports, suspects).await {
            Ok(of_sandbox) => found.extend(of_sandbox),
            Err(error) => {
                tracing::warn!(sandbox.id = %sandbox, %error, "logs of deleted conversations are not removed");
            }
        }
    }
    Ok(found)
}

async fn sweep_logs_of(
    sandbox: &SandboxId,
    storage: &dyn Storage,
    ports: &Ports,
    suspects: &Suspects,
) -> Result<Suspects> {
    let mut found = Suspects::new();
    for log in storage.logs(sandbox).await? {
        let Some(id) = log.of_conversation() else { continue };
        let earlier = suspects.get(&log).copied();
        match sweep_log(&log, id, earlier, ports).await {
            Ok(extent) => found.extend(extent.map(|extent| (log, extent))),
            Err(error) => {
                tracing::warn!(%log, %error, "a log of a deleted conversation is not removed");
                found.extend(earlier.map(|earlier| (log, earlier)));
            }
        }
    }
    Ok(found)
}

/// Removes the log up to where it reached `earlier`, unless there is a record by now. How far it reaches, if there is none.
async fn sweep_log(
    log: &LogId,
    id: ConversationId,
    earlier: Option<Extent>,
    ports: &Ports,
) -> Result<Option<Extent>> {
    let extent = ports.log.extent(log).await?;
    let record = ports.kv.get(CONVERSATIONS, &id.hex()).await?;
    // One that cannot be read may be of this sandbox.
    if record.is_some_and(|record| located(&record).map_or(true, |named| named == *log.sandbox())) {
        return Ok(None);
    }
    if let Some(earlier) = earlier {
        ports.log.remove(log, earlier).await?;
        tracing::info!(%log, "removed a log of a deleted conversation");
    }
    Ok(Some(extent))
}

async fn erase(storage: &dyn Storage, kv: &dyn Kv, sandbox: &SandboxId) -> Result<()> {
    storage.erase(sandbox).await?;
    Sums::of(kv).forget(sandbox).await
}

async fn keys(kv: &dyn Kv, bucket: &str) -> Result<BTreeSet<String>> {
    Ok(kv.list(bucket).await?.into_iter().map(|(key, _)| key).collect())
}

async fn is_empty(kv: &dyn Kv, bucket: &str) -> Result<bool> {
    let mut scan = kv.scan(bucket);
    while let Some(change) = scan.try_next().await? {
        if matches!(change, Change::Put { .. }) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether the id stands anywhere in the text.
fn names(text: &[u8], sandbox: &str) -> bool {
    text.windows(sandbox.len().max(1)).any(|part| part == sandbox.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::sync::{Arc, Mutex};

    use async_trait::async_trait;
    use embedded::{Fsync, Options};
    use ports::doubles::LogDouble;
    use ports::rpc::Server;
    use ports::storage::Ledger;
    use ports::{Error, EventLog, Expect};
    use types::{BashScope, Seq};

    use super::*;

    /// Notes what is removed, and says how far logs reach: the store of one process tells neither. Can be made to fail.
    struct Removals {
        log: Arc<dyn EventLog>,
        reach: AtomicU64,
        removed: Mutex<Vec<(LogId, Extent)>>,
        fails: AtomicBool,
        stuck: Option<LogId>,
    }

    impl Removals {
        fn on(ports: &Ports, stuck: Option<LogId>) -> Self {
            let (log, reach, removed, fails) =
                (ports.log.clone(), AtomicU64::default(), Mutex::default(), AtomicBool::default());
            Self { log, reach, removed, fails, stuck }
        }
    }

    #[async_trait]
    impl LogDouble for Removals {
        fn inner(&self) -> Result<&dyn EventLog> {
            Ok(self.log.as_ref())
        }

        async fn extent(&self, _: &LogId) -> Result<Extent> {
            Ok(Extent { last: self.reach.load(Ordering::SeqCst), beside: 0 })
        }

        async fn remove(&self, log: &LogId, extent: Extent) -> Result<()> {
            if self.fails.load(Ordering::SeqCst) || self.stuck.as_ref() == Some(log) {
                return Err(Error::Unavailable("not now".to_owned()));
            }
            self.removed.lock().unwrap().push((log.clone(), extent));
            self.log.remove(log, extent).await
        }
    }

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

    /// A store whose sandbox "a" has something in it.
    async fn open(folder: &Path) -> (Ports, embedded::Guard) {
        let (ports, guard) = embedded::open(Options::within(folder, Fsync::Interval)).await.unwrap();
        ports.kv.put(STORED, "a", "1".into(), Expect::Absent).await.unwrap();
        (ports, guard)
    }

    async fn keep_record(ports: &Ports, id: ConversationId, record: &'static str) {
        ports.kv.put(CONVERSATIONS, &id.hex(), record.into(), Expect::Absent).await.unwrap();
    }

    async fn write(ports: &Ports, log: &LogId) {
        ports.log.append(log, Seq::ZERO, vec!["{}".into()]).await.unwrap();
    }

    async fn is_gone(ports: &Ports, log: &LogId) -> bool {
        ports.log.tail(log).await.unwrap() == Seq::ZERO
    }

    fn sandbox() -> SandboxId {
        SandboxId::parse("a").unwrap()
    }

    fn having(logs: &[LogId]) -> Noting {
        Noting(Mutex::default(), logs.to_vec())
    }

    #[tokio::test]
    async fn logs_of_conversations_without_a_record_are_swept_from_a_living_sandbox() {
        let folder = tempfile::tempdir().unwrap();
        let (ports, _guard) = open(folder.path()).await;
        let [deleted, elsewhere, here, damaged] = std::array::from_fn(|_| ConversationId::random());
        let records =
            [(elsewhere, r#"{"sandbox":"b"}"#), (here, r#"{"sandbox":"a"}"#), (damaged, r#"{"sandbox":"#)];
        for (id, record) in records {
            keep_record(&ports, id, record).await;
        }
        let mut logs = vec![LogId::bash(&sandbox(), BashScope::Sandbox)];
        for id in [deleted, elsewhere, here, damaged] {
            logs.push(LogId::conversation(&sandbox(), id));
            logs.push(LogId::bash(&sandbox(), BashScope::Conversation(id)));
            logs.push(LogId::snapshots(&sandbox(), id));
        }
        for log in &logs {
            write(&ports, log).await;
        }
        let storage = having(&logs);
        let suspects = sweep_logs(&storage, &ports, &Suspects::new()).await.unwrap();
        sweep_logs(&storage, &ports, &suspects).await.unwrap();
        for log in &logs {
            let is_left = log.of_conversation().is_some_and(|id| id == deleted || id == elsewhere);
            assert_eq!(is_gone(&ports, log).await, is_left, "{log}");
        }
    }

    /// Without a limit nothing is counted, and no sum names the sandbox.
    #[tokio::test]
    async fn logs_are_swept_also_where_nothing_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let (ports, _guard) = embedded::open(Options::within(folder.path(), Fsync::Interval)).await.unwrap();
        ports.kv.put(SANDBOXES, "a", "{}".into(), Expect::Absent).await.unwrap();
        keep_record(&ports, ConversationId::random(), r#"{"sandbox":"b"}"#).await;
        let log = LogId::conversation(&sandbox(), ConversationId::random());
        write(&ports, &log).await;
        let storage = having(std::slice::from_ref(&log));
        let suspects = sweep_logs(&storage, &ports, &Suspects::new()).await.unwrap();
        sweep_logs(&storage, &ports, &suspects).await.unwrap();
        assert!(is_gone(&ports, &log).await);
    }

    #[tokio::test]
    async fn a_log_is_removed_only_if_it_had_no_record_an_hour_before_as_well() {
        let folder = tempfile::tempdir().unwrap();
        let (ports, _guard) = open(folder.path()).await;
        let [deleted, made, other] = std::array::from_fn(|_| ConversationId::random());
        keep_record(&ports, other, r#"{"sandbox":"b"}"#).await;
        let logs = [deleted, made].map(|id| LogId::conversation(&sandbox(), id));
        for log in &logs {
            write(&ports, log).await;
        }
        let removals = Arc::new(Removals::on(&ports, None));
        let ports = Ports { log: removals.clone(), ..ports };
        let storage = having(&logs);
        let reaching = |last: u64| Extent { last, beside: 0 };

        removals.reach.store(3, Ordering::SeqCst);
        let suspects = sweep_logs(&storage, &ports, &Suspects::new()).await.unwrap();
        assert!(removals.removed.lock().unwrap().is_empty(), "in the first round nothing goes");
        keep_record(&ports, made, r#"{"sandbox":"a"}"#).await;
        removals.reach.store(5, Ordering::SeqCst);
        removals.fails.store(true, Ordering::SeqCst);
        let suspects = sweep_logs(&storage, &ports, &suspects).await.unwrap();
        removals.fails.store(false, Ordering::SeqCst);
        let suspects = sweep_logs(&storage, &ports, &suspects).await.unwrap();
        let [of_deleted, _] = logs.clone();
        assert_eq!(*removals.removed.lock().unwrap(), [(of_deleted.clone(), reaching(3))]);
        assert_eq!(
            suspects,
            Suspects::from([(of_deleted, reaching(5))]),
            "what came later has its hour, too"
        );
    }

    #[tokio::test]
    async fn where_there_is_no_conversation_at_all_nothing_is_swept() {
        let folder = tempfile::tempdir().unwrap();
        let (ports, _guard) = open(folder.path()).await;
        let log = LogId::conversation(&sandbox(), ConversationId::random());
        write(&ports, &log).await;
        let storage = having(std::slice::from_ref(&log));
        let mut suspects = Suspects::from([(log.clone(), Extent::default())]);
        for _ in 0..3 {
            suspects = sweep_logs(&storage, &ports, &suspects).await.unwrap();
        }
        let unknown = BTreeSet::from(["a".to_owned()]);
        assert!(sweep(&storage, ports.kv.as_ref(), &unknown).await.unwrap().is_empty());
        assert!(!is_gone(&ports, &log).await && storage.0.lock().unwrap().is_empty());
        // What is put back is of no use as long as the rest is not.
        keep_record(&ports, ConversationId::random(), r#"{"sandbox":"b"}"#).await;
        suspects = sweep_logs(&storage, &ports, &suspects).await.unwrap();
        assert!(!is_gone(&ports, &log).await);
        sweep_logs(&storage, &ports, &suspects).await.unwrap();
        assert!(is_gone(&ports, &log).await);
    }

    #[tokio::test]
    async fn a_log_that_cannot_be_removed_keeps_no_other_from_being_swept() {
        let folder = tempfile::tempdir().unwrap();
        let (ports, _guard) = open(folder.path()).await;
        keep_record(&ports, ConversationId::random(), r#"{"sandbox":"b"}"#).await;
        let logs: [_; 2] = std::array::from_fn(|_| LogId::conversation(&sandbox(), ConversationId::random()));
        for log in &logs {
            write(&ports, log).await;
        }
        let [stuck, other] = logs.clone();
        let ports = Ports { log: Arc::new(Removals::on(&ports, Some(stuck))), ..ports };
        let suspects = sweep_logs(&having(&logs), &ports, &Suspects::new()).await.unwrap();
        sweep_logs(&having(&logs), &ports, &suspects).await.unwrap();
        assert!(is_gone(&ports, &other).await);
    }

    #[tokio::test]
    async fn what_cannot_be_read_or_erased_keeps_nothing_else_from_being_swept() {
        let folder = tempfile::tempdir().unwrap();
        let options = Options::within(folder.path(), Fsync::Interval);
        let (ports, _guard) = embedded::open(options).await.unwrap();
        let kv = ports.kv.as_ref();
        for sandbox in ["alive", "back", "gone", "lost", "named", "stuck", "torn"] {
            kv.put(STORED, sandbox, "1".into(), Expect::Anything).await.unwrap();
        }
        kv.put(SANDBOXES, "alive", "{}".into(), Expect::Anything).await.unwrap();
        let records = [("1", r#"{"sandbox":"named"}"#), ("2", r#"{"sandbox":"torn","tit"#), ("3", "")];
        for (key, record) in records {
            kv.put(CONVERSATIONS, key, record.into(), Expect::Anything).await.unwrap();
        }
        let storage = Noting::default();
        let unknown = sweep(&storage, kv, &BTreeSet::new()).await.unwrap();
        assert!(storage.0.lock().unwrap().is_empty(), "in the first round nothing goes");
        kv.put(CONVERSATIONS, "4", r#"{"sandbox":"back"}"#.into(), Expect::Absent).await.unwrap();
        sweep(&storage, kv, &unknown).await.unwrap();
        assert_eq!(*storage.0.lock().unwrap(), BTreeSet::from(["gone", "lost"].map(str::to_owned)));
        let left = BTreeSet::from(["alive", "back", "named", "stuck", "torn"].map(str::to_owned));
        assert_eq!(keys(kv, STORED).await.unwrap(), left, "what could not be erased is tried again");
    }
}
