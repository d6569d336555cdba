//! Deletions where the store has no room, or does not answer: the conversation goes wherever it could go without hooks, and nothing
//! is left behind.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use ports::doubles::{KvDouble, LogDouble};
use ports::{Error, EventLog, Expect, Kv, Record};
use telemetry::metrics::Metrics;
use tokio_util::sync::CancellationToken;
use types::buckets::WEBHOOK_ENDS;
use types::{LogId, Seq};

use super::super::cursor::key;
use super::{World, events_of, webhooks, world};

/// A disk with room for so many bytes of ends: answers as stores of files do that have none.
struct Narrow {
    kv: Arc<dyn Kv>,
    room: usize,
    taken: Mutex<HashMap<String, usize>>,
}

impl Narrow {
    fn new(world: &World, room: usize) -> Arc<Self> {
        Arc::new(Self { kv: world.ports.kv.clone(), room, taken: Mutex::default() })
    }
}

fn no_space() -> Error {
    Error::Unavailable("the store cannot be written: No space left on device (os error 28)".to_owned())
}

#[async_trait]
impl KvDouble for Narrow {
    fn inner(&self) -> ports::Result<&dyn Kv> {
        Ok(&*self.kv)
    }

    async fn put(&self, bucket: &str, key: &str, value: Bytes, expect: Expect) -> ports::Result<u64> {
        if bucket == WEBHOOK_ENDS {
            let mut taken = self.taken.lock();
            if taken.values().sum::<usize>() + value.len() > self.room {
                return Err(no_space());
            }
            taken.insert(key.to_owned(), value.len());
        }
        self.kv.put(bucket, key, value, expect).await
    }

    async fn delete(&self, bucket: &str, key: &str, expect: Expect) -> ports::Result<()> {
        self.taken.lock().remove(key);
        self.kv.delete(bucket, key, expect).await
    }
}

impl World {
    async fn kept(&self) -> usize {
        self.ports.kv.list(WEBHOOK_ENDS).await.unwrap().len()
    }
}

fn gave_up(metrics: &Metrics) -> bool {
    metrics.text().contains(r#"webhook_calls_total{kind="given_up"} 1"#)
}

#[tokio::test]
async fn a_full_disk_keeps_no_conversation_from_being_deleted_and_its_events_leave_it_the_room() {
    let mut world = world().await;
    world.hook.event_buffer_size = 1;
    let entry = world.ended(0).await;
    world.append(&entry, events_of(0..7, &"x".repeat(10_000))).await;
    let (store, metrics) = (Narrow::new(&world, 35_000), Metrics::of_gateway());
    webhooks(&world, store, &metrics).put_aside(&entry).await.unwrap();
    assert!(gave_up(&metrics), "{}", metrics.text());
    assert_eq!(world.kept().await, 1, "that it goes is told, and no room is taken but for that");
}

#[tokio::test]
async fn a_store_that_takes_nothing_at_all_keeps_the_conversation_and_nothing_else() {
    let world = world().await;
    let entry = world.ended(7).await;
    let (store, metrics) = (Narrow::new(&world, 0), Metrics::of_gateway());
    webhooks(&world, store, &metrics).put_aside(&entry).await.unwrap_err();
    assert_eq!(world.kept().await, 0);
}

/// A store that answers the first record of an end with an error, and may have taken it.
struct Unanswered {
    kv: Arc<dyn Kv>,
    is_stored: bool,
    records: AtomicUsize,
}

#[async_trait]
impl KvDouble for Unanswered {
    fn inner(&self) -> ports::Result<&dyn Kv> {
        Ok(&*self.kv)
    }

    async fn put(&self, bucket: &str, key: &str, value: Bytes, expect: Expect) -> ports::Result<u64> {
        let is_record = bucket == WEBHOOK_ENDS && key.split('.').count() == 3;
        if !is_record || self.records.fetch_add(1, Ordering::SeqCst) > 0 {
            return self.kv.put(bucket, key, value, expect).await;
        }
        if self.is_stored {
            self.kv.put(bucket, key, value, expect).await?;
        }
        Err(no_space())
    }
}

#[tokio::test]
async fn a_record_that_was_perhaps_stored_loses_no_event_and_leaves_none_that_it_does_not_name() {
    for is_stored in [false, true] {
        let mut world = world().await;
        world.hook.event_buffer_size = 1;
        let (entry, metrics) = (world.ended(3).await, Metrics::of_gateway());
        let (kv, records) = (world.ports.kv.clone(), AtomicUsize::new(0));
        let store = Arc::new(Unanswered { kv, is_stored, records });
        webhooks(&world, store, &metrics).put_aside(&entry).await.unwrap();
        assert_eq!(gave_up(&metrics), !is_stored);
        let told: Vec<_> = (0..3).filter(|_| is_stored).map(|n| format!("e{n}")).collect();
        assert_eq!(world.told_at_the_end(&entry).await, told);
        assert_eq!(world.kept().await, 1 + told.len());
    }
}

/// A log that can be read so often.
struct Failing {
    log: Arc<dyn EventLog>,
    left: AtomicUsize,
}

#[async_trait]
impl LogDouble for Failing {
    fn inner(&self) -> ports::Result<&dyn EventLog> {
        Ok(&*self.log)
    }

    async fn read(&self, log: &LogId, after: Seq, limit: usize) -> ports::Result<Vec<Record>> {
        let left = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        left.map_err(|_| no_space())?;
        self.log.read(log, after, limit).await
    }
}

#[tokio::test]
async fn a_deletion_that_fails_leaves_nothing_of_what_it_has_put_aside() {
    let mut world = world().await;
    world.hook.event_buffer_size = 1;
    let entry = world.ended(7).await;
    world.ports.log = Arc::new(Failing { log: world.ports.log.clone(), left: AtomicUsize::new(5) });
    let kv = Narrow::new(&world, usize::MAX);
    webhooks(&world, kv.clone(), &Metrics::of_gateway()).put_aside(&entry).await.unwrap_err();
    assert_eq!(world.kept().await, 0);
    assert!(kv.taken.lock().is_empty());
}

#[tokio::test]
async fn of_pieces_those_that_are_old_and_that_no_record_names_are_removed() {
    let world = world().await;
    let entry = world.ended(3).await;
    world.put_aside(&entry).await;
    let (key, kv) = (key(&world.id(), &entry), &world.ports.kv);
    // What is named is as old.
    let old = format!("{:x}", types::time::unix_ms() - 2 * 3_600_000);
    for (stored, entry) in kv.list(WEBHOOK_ENDS).await.unwrap() {
        let renamed = |text: &str| {
            let (_, rest) = text.rsplit_once('.').unwrap().1.split_once('-').unwrap();
            format!("{key}.{old}-{rest}")
        };
        match stored == key {
            true => {
                let text = String::from_utf8(entry.value.to_vec()).unwrap();
                let (before, name) = text.split_once(r#""name":""#).unwrap();
                let text = format!(r#"{before}"name":"{old}-{}"#, name.split_once('-').unwrap().1);
                kv.put(WEBHOOK_ENDS, &stored, text.into(), Expect::Anything).await.unwrap();
            }
            false => {
                kv.delete(WEBHOOK_ENDS, &stored, Expect::Anything).await.unwrap();
                kv.put(WEBHOOK_ENDS, &renamed(&stored), entry.value, Expect::Anything).await.unwrap();
            }
        }
    }
    let young = format!("{:x}", types::time::unix_ms());
    let (left, others) = (format!("{key}.{old}-left-0"), format!("{key}.{young}-others-0"));
    for piece in [&left, &others] {
        kv.put(WEBHOOK_ENDS, piece, "[]".into(), Expect::Absent).await.unwrap();
    }
    let (stop, metrics) = (CancellationToken::new(), Metrics::of_gateway());
    let webhooks = webhooks(&world, kv.clone(), &metrics);
    let courier = webhooks.courier(0, &world.hook, world.id(), &stop).await.unwrap();
    let keys = courier.find_ends().await.unwrap().into_iter().map(|(key, _)| key).collect();
    assert_eq!(courier.remove_left(keys).await, [left]);
    assert_eq!(world.told_at_the_end(&entry).await, ["e0", "e1", "e2"]);
    assert_eq!(world.kept().await, 3, "the record, its piece, and one that may be named yet");
}
