//! Deletions where the store has no room, or does not answer: the conversation goes wherever it could go without hooks, and nothing
//! is left behind.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use ports::doubles::{KvDouble, LogDouble};
use ports::{Error, EventLog, Expect, Kv, Record};
use readmodel::index::ConversationState;
use telemetry::metrics::Metrics;
use tokio_util::sync::CancellationToken;
use types::buckets::WEBHOOK_ENDS;
use types::{LogId, Seq};

use super::super::cursor::key;
use super::{World, events_of, webhooks, world};

/// A disk with room for so many bytes of ends: answers as stores of files do that have none.
pub(super) struct Narrow {
    kv: Arc<dyn Kv>,
    room: usize,
    says: Error,
    taken: Mutex<HashMap<String, usize>>,
}

impl Narrow {
    pub(super) fn new(world: &World, room: usize) -> Arc<Self> {
        Self::saying(world, room, no_space())
    }

    fn saying(world: &World, room: usize, says: Error) -> Arc<Self> {
        Arc::new(Self { kv: world.ports.kv.clone(), room, says, taken: Mutex::default() })
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
                return Err(self.says.clone());
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
    for says in [no_space(), Error::Full("no room".to_owned())] {
        let mut world = world().await;
        world.hook.event_buffer_size = 1;
        let entry = world.ended(0).await;
        world.append(&entry, events_of(0..7, &"x".repeat(10_000))).await;
        let (store, metrics) = (Narrow::saying(&world, 35_000, says), Metrics::of_gateway());
        webhooks(&world, store, &metrics).put_aside(&entry).await.unwrap();
        assert!(gave_up(&metrics), "{}", metrics.text());
        assert_eq!(world.kept().await, 1, "that it goes is told, and no room is taken but for that");
    }
}

#[tokio::test]
async fn a_store_that_takes_nothing_at_all_keeps_the_conversation_and_nothing_else() {
    let world = world().await;
    let entry = world.ended(7).await;
    let (store, metrics) = (Narrow::new(&world, 0), Metrics::of_gateway());
    webhooks(&world, store, &metrics).put_aside(&entry).await.unwrap_err();
    assert_eq!(world.kept().await, 0);
}

/// A store that does not do what it is asked, as told.
struct Moody {
    kv: Arc<dyn Kv>,
    /// Records that are answered with an error, and whether they are stored.
    fails: Range<usize>,
    is_stored: bool,
    records: AtomicUsize,
    /// So many records come before the first piece is taken.
    pieces_after: usize,
    /// Pieces that get no answer.
    silent: AtomicUsize,
}

impl Moody {
    fn new(world: &World) -> Self {
        let (kv, records, silent) = (world.ports.kv.clone(), AtomicUsize::new(0), AtomicUsize::new(0));
        Self { kv, fails: 0..0, is_stored: false, records, pieces_after: 0, silent }
    }
}

#[async_trait]
impl KvDouble for Moody {
    fn inner(&self) -> ports::Result<&dyn Kv> {
        Ok(&*self.kv)
    }

    async fn put(&self, bucket: &str, key: &str, value: Bytes, expect: Expect) -> ports::Result<u64> {
        let fails = match key.split('.').count() {
            _ if bucket != WEBHOOK_ENDS => false,
            3 => self.fails.contains(&self.records.fetch_add(1, Ordering::SeqCst)),
            _ => self.records.load(Ordering::SeqCst) < self.pieces_after,
        };
        let is_piece = bucket == WEBHOOK_ENDS && key.split('.').count() > 3;
        let less = |left: usize| left.checked_sub(1);
        if is_piece && self.silent.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok() {
            std::future::pending::<()>().await;
        }
        match fails {
            true if !self.is_stored => Err(no_space()),
            true => self.kv.put(bucket, key, value, expect).await.and(Err(no_space())),
            false => self.kv.put(bucket, key, value, expect).await,
        }
    }
}

async fn three() -> (World, Arc<ConversationState>, Metrics) {
    let mut world = world().await;
    world.hook.event_buffer_size = 1;
    let entry = world.ended(3).await;
    (world, entry, Metrics::of_gateway())
}

#[tokio::test]
async fn a_record_that_was_perhaps_stored_loses_no_event_and_leaves_none_that_it_does_not_name() {
    // That of the run; and that which takes it back as well.
    for (fails, is_stored) in [(1..2, false), (1..2, true), (1..3, false), (1..3, true)] {
        let (world, entry, metrics) = three().await;
        let store = Moody { fails, is_stored, ..Moody::new(&world) };
        webhooks(&world, Arc::new(store), &metrics).put_aside(&entry).await.unwrap();
        assert!(!gave_up(&metrics));
        assert_eq!(world.told_at_the_end(&entry).await, ["e0", "e1", "e2"]);
        assert_eq!(world.kept().await, 4);
    }
}

#[tokio::test]
async fn a_store_that_goes_away_behind_the_pieces_keeps_the_conversation_and_none_of_them() {
    let (world, entry, metrics) = three().await;
    let store = Moody { fails: 1..usize::MAX, ..Moody::new(&world) };
    webhooks(&world, Arc::new(store), &metrics).put_aside(&entry).await.unwrap_err();
    assert!(world.told_at_the_end(&entry).await.is_empty());
    assert_eq!(world.kept().await, 1, "the record, which names nothing");
}

#[tokio::test]
async fn a_store_that_takes_the_record_again_and_then_the_events_was_not_full() {
    let (world, entry, metrics) = three().await;
    let store = Moody { pieces_after: 2, ..Moody::new(&world) };
    webhooks(&world, Arc::new(store), &metrics).put_aside(&entry).await.unwrap();
    assert!(!gave_up(&metrics));
    assert_eq!(world.told_at_the_end(&entry).await, ["e0", "e1", "e2"]);
}

#[tokio::test]
async fn a_store_that_gives_no_answer_is_away_and_loses_no_event() {
    let (world, entry, metrics) = three().await;
    let store = Arc::new(Moody { silent: AtomicUsize::new(1), ..Moody::new(&world) });
    let webhooks = webhooks(&world, store, &metrics);
    webhooks.put_aside(&entry).await.unwrap_err();
    webhooks.put_aside(&entry).await.unwrap();
    assert!(!gave_up(&metrics));
    assert_eq!(world.told_at_the_end(&entry).await, ["e0", "e1", "e2"]);
}

/// A store that gives no answer to the record that names the pieces, nor to the one that takes it back, and stores the first of
/// them once the pieces go.
struct Late {
    kv: Arc<dyn Kv>,
    records: AtomicUsize,
    under_way: Mutex<Option<(String, Bytes, Expect)>>,
}

#[async_trait]
impl KvDouble for Late {
    fn inner(&self) -> ports::Result<&dyn Kv> {
        Ok(&*self.kv)
    }

    async fn put(&self, bucket: &str, key: &str, value: Bytes, expect: Expect) -> ports::Result<u64> {
        if bucket == WEBHOOK_ENDS && key.split('.').count() == 3 {
            let record = self.records.fetch_add(1, Ordering::SeqCst);
            if record == 1 {
                *self.under_way.lock() = Some((key.to_owned(), value, expect));
                return Err(Error::Unavailable("no answer".to_owned()));
            }
            if record == 2 {
                return Err(Error::Unavailable("no answer".to_owned()));
            }
        }
        self.kv.put(bucket, key, value, expect).await
    }

    async fn delete(&self, bucket: &str, key: &str, expect: Expect) -> ports::Result<()> {
        let under_way = self.under_way.lock().take();
        if let Some((key, value, expect)) = under_way {
            self.kv.put(bucket, &key, value, expect).await?;
        }
        self.kv.delete(bucket, key, expect).await
    }
}

#[tokio::test]
async fn a_record_that_is_stored_late_names_no_events_that_have_gone_by_then() {
    let (world, entry, metrics) = three().await;
    let (kv, records, under_way) = (world.ports.kv.clone(), AtomicUsize::new(0), Mutex::default());
    webhooks(&world, Arc::new(Late { kv, records, under_way }), &metrics).put_aside(&entry).await.unwrap();
    assert!(!gave_up(&metrics));
    assert_eq!(world.told_at_the_end(&entry).await, ["e0", "e1", "e2"]);
    assert_eq!(world.kept().await, 4);
}

/// A store that is away from the record on that names the pieces until somebody says that it is back, and stores that one then.
struct Away {
    kv: Arc<dyn Kv>,
    records: AtomicUsize,
    is_back: AtomicBool,
    under_way: Mutex<Option<(String, Bytes, Expect)>>,
}

#[async_trait]
impl KvDouble for Away {
    fn inner(&self) -> ports::Result<&dyn Kv> {
        Ok(&*self.kv)
    }

    async fn put(&self, bucket: &str, key: &str, value: Bytes, expect: Expect) -> ports::Result<u64> {
        let is_record = bucket == WEBHOOK_ENDS && key.split('.').count() == 3;
        let is_away = is_record && !self.is_back.load(Ordering::SeqCst);
        match is_away.then(|| self.records.fetch_add(1, Ordering::SeqCst)) {
            Some(1) => *self.under_way.lock() = Some((key.to_owned(), value, expect)),
            None | Some(0) => return self.kv.put(bucket, key, value, expect).await,
            Some(_) => {}
        }
        Err(Error::Unavailable("no answer".to_owned()))
    }
}

#[tokio::test]
async fn a_record_that_is_stored_after_its_deletion_has_failed_loses_no_event_of_the_next() {
    let (world, entry, metrics) = three().await;
    let (kv, records, under_way) = (world.ports.kv.clone(), AtomicUsize::new(0), Mutex::default());
    let store = Arc::new(Away { kv, records, is_back: AtomicBool::new(false), under_way });
    let webhooks = webhooks(&world, store.clone(), &metrics);
    webhooks.put_aside(&entry).await.unwrap_err();
    let (key, value, expect) = store.under_way.lock().take().unwrap();
    store.is_back.store(true, Ordering::SeqCst);
    store.kv.put(WEBHOOK_ENDS, &key, value, expect).await.unwrap();
    webhooks.put_aside(&entry).await.unwrap();
    assert!(!gave_up(&metrics));
    assert_eq!(world.told_at_the_end(&entry).await, ["e0", "e1", "e2"]);
    assert_eq!(world.kept().await, 4);
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
async fn a_deletion_that_fails_leaves_none_of_the_events_that_it_has_put_aside() {
    let mut world = world().await;
    world.hook.event_buffer_size = 1;
    let entry = world.ended(7).await;
    world.ports.log = Arc::new(Failing { log: world.ports.log.clone(), left: AtomicUsize::new(5) });
    let kv = Narrow::new(&world, usize::MAX);
    webhooks(&world, kv.clone(), &Metrics::of_gateway()).put_aside(&entry).await.unwrap_err();
    assert!(world.told_at_the_end(&entry).await.is_empty());
    assert_eq!(kv.taken.lock().len(), 1, "the record, which names nothing");
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
