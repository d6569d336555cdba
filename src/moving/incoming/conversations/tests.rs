//! What others do while a conversation is brought.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use ports::doubles::{KvDouble, LogDouble};
use ports::{Appended, Error, EventLog, Kv, KvEntry, Ports, Record};
use serde_json::json;
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use types::{SandboxId, Seq};

use super::*;
use crate::moving::store::Where;
use crate::settings::{Settings, Source};

const FORKED: &str = "33333333333343338333333333333333";
/// The peer's.
const KEY: &str = "the key of the fixture";

/// A gateway makes a conversation of the id just before the log of the one that is brought is begun.
struct MadeMeanwhile(Ports);

#[async_trait]
impl LogDouble for MadeMeanwhile {
    fn inner(&self) -> ports::Result<&dyn EventLog> {
        Ok(&*self.0.log)
    }

    async fn append(&self, log: &LogId, after: Seq, records: Vec<Bytes>) -> ports::Result<Appended> {
        if after == Seq::ZERO {
            self.0.kv.put(CONVERSATIONS, FORKED, made().to_string().into(), Expect::Absent).await?;
        }
        self.0.log.append(log, after, records).await
    }
}

/// A gateway makes a conversation of the id just before its record is looked for again, finds the log, and takes it back.
struct TakenBack(Ports, AtomicUsize);

#[async_trait]
impl KvDouble for TakenBack {
    fn inner(&self) -> ports::Result<&dyn Kv> {
        Ok(&*self.0.kv)
    }

    async fn get(&self, bucket: &str, key: &str) -> ports::Result<Option<KvEntry>> {
        if (bucket, key) == (CONVERSATIONS, FORKED) {
            match self.1.fetch_add(1, Ordering::Relaxed) {
                1 => drop(self.0.kv.put(bucket, key, made().to_string().into(), Expect::Absent).await?),
                2 => self.0.kv.delete(bucket, key, Expect::Anything).await?,
                _ => {}
            }
        }
        self.0.kv.get(bucket, key).await
    }
}

/// What is behind the first record of a log is more than is taken.
struct TooLarge(Ports);

#[async_trait]
impl LogDouble for TooLarge {
    fn inner(&self) -> ports::Result<&dyn EventLog> {
        Ok(&*self.0.log)
    }

    async fn append(&self, log: &LogId, after: Seq, records: Vec<Bytes>) -> ports::Result<Appended> {
        match after == Seq::ZERO {
            true => self.0.log.append(log, after, records).await,
            false => Err(Error::TooLarge("for this test".to_owned())),
        }
    }
}

/// The store takes the first record only when the log is written to the next time.
struct StoredLate {
    ports: Ports,
    record: Mutex<Option<Bytes>>,
}

#[async_trait]
impl KvDouble for StoredLate {
    fn inner(&self) -> ports::Result<&dyn Kv> {
        Ok(&*self.ports.kv)
    }

    async fn put(&self, bucket: &str, key: &str, value: Bytes, expect: Expect) -> ports::Result<u64> {
        if bucket != CONVERSATIONS {
            return self.ports.kv.put(bucket, key, value, expect).await;
        }
        *self.record.lock() = Some(value);
        Err(Error::Unavailable("for this test".to_owned()))
    }
}

#[async_trait]
impl LogDouble for StoredLate {
    fn inner(&self) -> ports::Result<&dyn EventLog> {
        Ok(&*self.ports.log)
    }

    async fn append(&self, log: &LogId, after: Seq, records: Vec<Bytes>) -> ports::Result<Appended> {
        let record = self.record.lock().take();
        if let Some(record) = record {
            self.ports.kv.put(CONVERSATIONS, FORKED, record, Expect::Absent).await?;
        }
        self.ports.log.append(log, after, records).await
    }
}

/// Another import takes this one for dead just before the record is stored.
struct BegunAnew(Ports);

#[async_trait]
impl KvDouble for BegunAnew {
    fn inner(&self) -> ports::Result<&dyn Kv> {
        Ok(&*self.0.kv)
    }

    async fn put(&self, bucket: &str, key: &str, value: Bytes, expect: Expect) -> ports::Result<u64> {
        if bucket == CONVERSATIONS {
            let store = self.0.log.clone();
            let begin = move || Handle::current().block_on(Appending::anew(store, log())).map(drop);
            spawn_blocking(begin).await.unwrap().unwrap();
        }
        self.0.kv.put(bucket, key, value, expect).await
    }
}

fn log() -> LogId {
    LogId::conversation(&SandboxId::shared(), FORKED.parse().unwrap())
}

fn made() -> serde_json::Value {
    json!({"id": FORKED.parse::<ConversationId>().unwrap(), "sandbox": SandboxId::shared(),
        "created_at": "2026-11-23T00:00:00.000000Z", "title": null, "agent": {}, "max_iterations": 1,
        "workspace": {"working_dir": "/w", "kind": "LocalWorkspace"}, "stuck_detection": true,
        "confirmation_policy": {"kind": "NeverConfirm"}, "security_analyzer": null})
}

/// Brings one of a real peer, and answers what is stored then: the record and the log.
async fn brought(change: impl FnOnce(&mut Ports)) -> (Result<bool, Failure>, Option<String>, Vec<Record>) {
    let (mut done, record, records) = brought_often(1, change).await;
    (done.remove(0), record, records)
}

async fn brought_often(
    times: usize,
    change: impl FnOnce(&mut Ports),
) -> (Vec<Result<bool, Failure>>, Option<String>, Vec<Record>) {
    let dir = tempfile::tempdir().unwrap();
    let variables =
        [("OH_CONVERSATIONS_PATH", "c"), ("OH_BASH_EVENTS_DIR", "b"), ("OH_PERSISTENCE_DIR", "p")];
    let path = |(name, at): (&str, &str)| (name.to_owned(), dir.path().join(at).display().to_string());
    let mut environment: BTreeMap<_, _> = variables.map(path).into();
    environment.insert("OH_SECRET_KEY".to_owned(), KEY.to_owned());
    let source = Source::new(environment, json!({}));
    let mut store = Store::open(Settings::from_source(&source).unwrap(), Where::Files).await.unwrap();
    change(&mut store.ports);
    let from = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/moving/peer-1.58.2/workspace/conversations")
        .join(FORKED);
    let mut report = Report::default();
    let mut done = Vec::new();
    for _ in 0..times {
        done.push(one(&store, &from, FORKED.parse().unwrap(), &TenantId::default(), &mut report).await);
    }
    let record = store.ports.kv.get(CONVERSATIONS, FORKED).await.unwrap();
    let record = record.map(|record| String::from_utf8_lossy(&record.value).into_owned());
    let records = store.ports.log.read_all(&log(), Seq::ZERO).await.unwrap();
    store.close().await;
    (done, record, records)
}

fn is_left_out(done: &Result<bool, Failure>, because: &str) -> bool {
    matches!(done, Err(Failure::LeftOut(why)) if why == because)
}

#[tokio::test]
async fn nothing_is_brought_into_a_conversation_that_is_made_at_the_same_moment() {
    let (done, record, records) = brought(|_| {}).await;
    assert!(matches!(done, Ok(true)) && record.is_some() && records.len() > 2);
    let (done, record, records) = brought(|ports| ports.log = Arc::new(MadeMeanwhile(ports.clone()))).await;
    assert!(is_left_out(&done, OTHER));
    assert_eq!((record, records.len()), (Some(made().to_string()), 1), "a fence, which means nothing");
}

#[tokio::test]
async fn a_record_that_is_taken_back_keeps_nothing_from_being_brought() {
    let (done, record, records) =
        brought(|ports| ports.kv = Arc::new(TakenBack(ports.clone(), AtomicUsize::default()))).await;
    assert!(matches!(done, Ok(true)) && record.is_some() && records.len() > 2);
}

#[tokio::test]
async fn what_is_left_out_leaves_its_id_to_others() {
    let (done, record, records) = brought(|ports| ports.log = Arc::new(TooLarge(ports.clone()))).await;
    assert!(matches!(done, Err(Failure::LeftOut(_))));
    assert_eq!((record, records.len()), (None, 0));
}

#[tokio::test]
async fn what_an_earlier_import_has_written_stays_where_its_record_is_stored_late() {
    let (done, record, records) = brought_often(3, |ports| {
        let late = Arc::new(StoredLate { ports: ports.clone(), record: Mutex::default() });
        (ports.kv, ports.log) = (late.clone(), late);
    })
    .await;
    assert!(matches!(done[0], Err(Failure::Over(Error::Unavailable(_)))));
    assert!(is_left_out(&done[1], MEANWHILE) && matches!(done[2], Ok(false)));
    let is_event = |record: &&Record| !LogRecord::is_control(&record.payload);
    assert!(record.is_some() && records.iter().filter(is_event).count() > 2);
}

#[tokio::test]
async fn an_import_whose_log_another_one_has_begun_anew_leaves_that_to_it() {
    let (done, record, records) = brought(|ports| ports.kv = Arc::new(BegunAnew(ports.clone()))).await;
    assert!(is_left_out(&done, MEANWHILE));
    assert!(record.is_none() && records.len() > 2, "the other one drops it");
}

#[test]
fn what_the_peer_has_still_is_told_by_its_lease() {
    let dir = tempfile::tempdir().unwrap();
    assert!(!is_held(dir.path()));
    for (lease, is_so) in [
        ("{\"owner_instance_id\": \"a\", \"generation\": 1, \"expires_at\": 1.5}", false),
        ("{\"owner_instance_id\": \"a\", \"generation\": 1, \"expires_at\": 99999999999.5}", true),
        ("torn", false),
    ] {
        std::fs::write(dir.path().join("owner_lease.json"), lease).unwrap();
        assert_eq!(is_held(dir.path()), is_so, "{lease}");
    }
}

#[test]
fn a_folder_is_that_of_its_id_however_it_is_spelled_and_is_never_passed_over_in_silence() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (ConversationId::random(), ConversationId::random());
    let upper = one.to_string().to_uppercase();
    let names = [upper.clone(), one.hex(), two.to_string(), ".trash".into(), "backup".into(), "none".into()];
    for name in names.iter().filter(|name| *name != "none") {
        std::fs::create_dir(dir.path().join(name)).unwrap();
        std::fs::write(dir.path().join(name).join(META), "{}").unwrap();
    }
    let mut report = Report::default();
    let found = named(dir.path(), &names, &mut report);
    assert_eq!(found, BTreeMap::from([(one, one.hex().as_str()), (two, two.to_string().as_str())]));
    let told = format!("{report:?}");
    assert_eq!((told.matches("left out: ").count(), told.contains("left out: backup")), (2, true), "{told}");
    assert!(told.contains(&upper), "{told}");
}
