//! Cursors, batches and ends on a real store.

mod full;
mod lives;
mod receiver;
mod telling;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use outbound::Outbound;
use ports::{Expect, Kv, Ports};
use readmodel::history::History;
use readmodel::index::{ConversationState, Created, Index};
use serde_json::{Value, json};
use telemetry::metrics::Metrics;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use types::buckets::{WEBHOOK_ENDS, WEBHOOKS};
use types::log::LogRecord;
use types::{ConversationId, Seq};

use super::aside::Aside;
use super::batch::{self, Bounds};
use super::cursor::{Cursor, Cursors, Known, Told, key};
use super::ending::Endings;
use super::hook::{Hook, HookId};
use super::{Inner, Webhooks};

struct World {
    ports: Ports,
    index: Index,
    hook: Hook,
    _store: embedded::Guard,
    _folder: tempfile::TempDir,
}

async fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    let options = embedded::Options::within(folder.path(), embedded::Fsync::Interval);
    let (ports, store) = embedded::open(options).await.unwrap();
    let index = Index::start(&ports, &TaskTracker::new(), &CancellationToken::new()).await.unwrap();
    World { ports, index, hook: Hook::at("http://h").unwrap(), _store: store, _folder: folder }
}

fn event(n: u64, text: &str, at: &str) -> Bytes {
    let event = json!({"id": format!("e{n}"), "timestamp": at, "kind": "MessageEvent", "source": "user", "text": text});
    LogRecord::event(n, &event).unwrap().encode().unwrap().into()
}

impl World {
    async fn conversation(&self, created_at: &str) -> Arc<ConversationState> {
        let record = json!({"id": ConversationId::random(), "sandbox": "default", "created_at": created_at,
            "title": null, "workspace": {"working_dir": "/w", "kind": "LocalWorkspace"}, "agent": {}, "max_iterations": 1,
            "stuck_detection": true, "confirmation_policy": {"kind": "NeverConfirm"}, "security_analyzer": null});
        match self.index.create(&serde_json::from_value(record).unwrap()).await.unwrap() {
            Created::New(entry) | Created::Existing(entry) => entry,
        }
    }

    async fn append(&self, entry: &Arc<ConversationState>, records: Vec<Bytes>) {
        let tail = self.ports.log.tail(&entry.log).await.unwrap();
        self.ports.log.append(&entry.log, tail, records).await.unwrap();
        self.index.catch_up(entry).await.unwrap();
    }

    async fn cursors(&self) -> Cursors {
        let history = Arc::new(History::new(self.ports.log.clone()));
        Cursors::open(self.ports.kv.clone(), self.ports.log.clone(), history, self.id()).await.unwrap()
    }

    fn id(&self) -> HookId {
        self.hook.id(0)
    }

    fn endings(&self) -> Endings {
        Endings { kv: self.ports.kv.clone(), hook: self.id() }
    }

    async fn batch(&self, entry: &ConversationState, at: Seq, events: usize, bytes: usize) -> batch::Batch {
        batch::next(&*self.ports.log, &entry.log, (at, 0), Bounds { events, bytes }, None).await.unwrap()
    }
}

fn webhooks(world: &World, kv: Arc<dyn Kv>, metrics: &Metrics) -> Webhooks {
    Webhooks::new(Inner {
        hooks: vec![world.hook.clone()],
        index: world.index.clone(),
        history: Arc::new(History::new(world.ports.log.clone())),
        log: world.ports.log.clone(),
        kv,
        outbound: Outbound::default(),
        conversations_path: Path::new("/c").into(),
        work: metrics.work.clone(),
    })
}

const LATER: &str = "2999-01-01T00:00:00.000000Z";
const EARLIER: &str = "2020-01-01T00:00:00.000000Z";

fn ids(body: &[u8]) -> Vec<String> {
    let events: Vec<Value> = serde_json::from_slice(body).unwrap();
    events.iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_cursor_moves_on_and_never_back_whoever_moves_it_late() {
    let world = world().await;
    let entry = world.conversation(LATER).await;
    let cursors = world.cursors().await;
    let known = cursors.known(&entry).await.unwrap();
    let to = async |at: u64| {
        let moved = cursors.change(&entry, &known, |cursor| cursor.deliver(Seq(at), at));
        moved.await.unwrap().unwrap().cursor.at
    };
    assert_eq!(to(5).await, Seq(5));
    assert_eq!(to(9).await, Seq(9), "who believed that there was none sees what is stored");
    assert_eq!(to(7).await, Seq(9), "a gateway that has lost its turn takes nothing back");
    let stored = cursors.known(&entry).await.unwrap();
    assert_eq!((stored.cursor.at, stored.cursor.events), (Seq(9), 9));
    cursors.change(&entry, &known, |cursor| cursor.tell(&Told::of(&entry))).await.unwrap();
    assert_eq!(cursors.known(&entry).await.unwrap().cursor.at, Seq(9), "nor what the other lane has told");
}

#[tokio::test]
async fn a_cursor_that_has_gone_with_its_conversation_is_not_made_anew() {
    let world = world().await;
    let entry = world.conversation(LATER).await;
    let cursors = world.cursors().await;
    let known = cursors.known(&entry).await.unwrap();
    let stored = cursors.change(&entry, &known, |cursor| cursor.at = Seq(1)).await.unwrap().unwrap();
    world.ports.kv.delete(WEBHOOKS, &key(&world.id(), &entry), Expect::Anything).await.unwrap();
    assert!(cursors.change(&entry, &stored, |cursor| cursor.at = Seq(2)).await.unwrap().is_none());
    assert_eq!(world.ports.kv.get(WEBHOOKS, &key(&world.id(), &entry)).await.unwrap(), None);
}

#[tokio::test]
async fn of_an_older_conversation_what_came_since_the_hook_is_told() {
    let world = world().await;
    let older = world.conversation(EARLIER).await;
    let resting = world.conversation(EARLIER).await;
    world
        .append(
            &older,
            vec![event(0, "before", "2020-01-01T00:00:00"), event(1, "after", "2999-01-01T00:00:00")],
        )
        .await;
    world.append(&resting, vec![event(0, "before", "2020-01-01T00:00:00")]).await;
    let cursors = world.cursors().await;
    assert!(cursors.may_be_new(&older) && !cursors.may_be_new(&resting));
    let known = cursors.known(&older).await.unwrap().cursor;
    assert_eq!((known.events, known.is_behind(&older), known.is_untold(&older)), (1, true, true));
    let batch = world.batch(&older, known.at, 5, 1_000).await;
    assert_eq!(ids(&batch.body), ["e1"]);
    assert!(!cursors.known(&resting).await.unwrap().cursor.is_behind(&resting));
    let newer = world.conversation(LATER).await;
    assert_eq!(cursors.known(&newer).await.unwrap().cursor.at, Seq::ZERO);
}

#[tokio::test]
async fn a_batch_has_so_many_events_and_bytes_and_at_least_one() {
    let world = world().await;
    let entry = world.conversation(LATER).await;
    let control = Bytes::from_static(br#"{"control":{"type":"run_ended"}}"#);
    let large = "x".repeat(5_000);
    let mut records: Vec<Bytes> = (0..4).map(|n| event(n, "small", "2999-01-01T00:00:00")).collect();
    records.insert(2, control);
    records.push(event(4, &large, "2999-01-01T00:00:00"));
    world.append(&entry, records).await;
    let first = world.batch(&entry, Seq::ZERO, 3, 1 << 20).await;
    assert_eq!((ids(&first.body), first.events), (vec!["e0".into(), "e1".into(), "e2".into()], 3));
    let second = world.batch(&entry, first.at, 3, 1_000).await;
    assert_eq!(ids(&second.body), ["e3"]);
    let third = world.batch(&entry, second.at, 3, 1_000).await;
    assert_eq!((ids(&third.body), third.events), (vec!["e4".into()], 5), "larger than the bound, and alone");
    let none = world.batch(&entry, third.at, 3, 1_000).await;
    assert_eq!((none.count, none.at), (0, third.at));
}

#[tokio::test]
async fn what_a_worker_numbers_wrongly_is_told_all_the_same() {
    let world = world().await;
    for numbers in [[u64::MAX - 1, 0, 0], [0, 0, 0]] {
        let entry = world.conversation(LATER).await;
        let cursors = world.cursors().await;
        let mut cursor = cursors.known(&entry).await.unwrap().cursor;
        for (i, n) in numbers.into_iter().enumerate() {
            world.append(&entry, vec![event(n, "small", "2999-01-01T00:00:00")]).await;
            assert!(cursor.is_behind(&entry), "event {i}");
            let batch = world.batch(&entry, cursor.at, 5, 1_000).await;
            assert_eq!(batch.count, 1);
            cursor.deliver(batch.at, batch.events);
            assert!(!cursor.is_behind(&entry));
        }
    }
}

#[tokio::test]
async fn a_cursor_that_cannot_be_read_is_made_anew() {
    let world = world().await;
    let entry = world.conversation(LATER).await;
    let key = key(&world.id(), &entry);
    world.ports.kv.put(WEBHOOKS, &key, Bytes::from_static(b"{torn"), Expect::Anything).await.unwrap();
    let cursors = world.cursors().await;
    let known = cursors.known(&entry).await.unwrap();
    assert_eq!(known.cursor.at, Seq::ZERO);
    cursors.change(&entry, &known, |cursor| cursor.deliver(Seq(3), 1)).await.unwrap();
    assert_eq!(cursors.known(&entry).await.unwrap().cursor.at, Seq(3));
}

#[test]
fn a_cursor_that_the_store_is_owed_is_owed_until_it_has_it_and_no_longer() {
    let known = |at: u64, revision, is_owed| Known {
        cursor: Cursor { at: Seq(at), events: at, told: None },
        revision: Some(revision),
        is_owed,
    };
    let (owed, paid) = (known(9, 5, true), known(9, 6, false));
    for both in [owed.clone().and(paid.clone()), paid.and(owed.clone())] {
        assert_eq!((both.cursor.at, both.revision, both.is_owed), (Seq(9), Some(6), false));
    }
    let both = owed.and(known(7, 6, false));
    assert_eq!(
        (both.cursor.at, both.revision, both.is_owed),
        (Seq(9), Some(6), true),
        "the other lane has not"
    );
}

#[test]
fn of_two_titles_at_one_point_the_one_that_was_told_later_counts_and_pays() {
    let known = |title: &str, revision, is_owed| Known {
        cursor: serde_json::from_value(json!({"at": 9, "events": 9, "told": {"noted": 5, "title": title}}))
            .unwrap(),
        revision: Some(revision),
        is_owed,
    };
    let both = known("before", 5, true).and(known("after", 7, false));
    assert_eq!((both.cursor, both.is_owed), (known("after", 7, false).cursor, false));
}

#[tokio::test]
async fn a_conversation_that_was_told_as_it_is_is_not_told_again_whatever_was_told_of_it_before() {
    let world = world().await;
    let entry = world.conversation(LATER).await;
    // By who knew more of it, or of a log that has gone since.
    let before = json!({"at": 0, "events": 0, "told": {"noted": 50, "title": "another"}});
    let mut cursor: Cursor = serde_json::from_value(before).unwrap();
    assert!(cursor.is_untold(&entry));
    cursor.tell(&Told::of(&entry));
    assert!(!cursor.is_untold(&entry));
}

impl World {
    async fn put_aside(&self, entry: &ConversationState) -> bool {
        let (cursors, endings) = (self.cursors().await, self.endings());
        let (hook, log, path) = (&self.hook, &*self.ports.log, Path::new("/c"));
        Aside { hook, cursors: &cursors, endings: &endings, log, path }.put(entry).await.unwrap()
    }

    /// What is to be told at the end of a conversation.
    async fn told_at_the_end(&self, entry: &ConversationState) -> Vec<String> {
        let key = key(&self.id(), entry);
        let ending = self.endings().get(&key).await.unwrap().unwrap().value;
        let mut told = Vec::new();
        for name in ending.pieces() {
            told.extend(ids(&self.endings().piece(&key, &name).await.unwrap().unwrap()));
        }
        told
    }

    async fn ended(&self, events: u64) -> Arc<ConversationState> {
        let entry = self.conversation(LATER).await;
        self.append(&entry, events_of(0..events, "small")).await;
        entry
    }
}

fn events_of(numbers: Range<u64>, text: &str) -> Vec<Bytes> {
    numbers.map(|n| event(n, text, "2999-01-01T00:00:00")).collect()
}

#[tokio::test]
async fn what_is_put_aside_of_a_deleted_conversation_is_bounded_and_goes_with_its_end() {
    let mut world = world().await;
    (world.hook.event_buffer_size, world.hook.max_queue_size) = (2, 5);
    let entry = world.ended(9).await;
    assert!(!world.put_aside(&entry).await, "not all is kept");
    let (key, endings) = (key(&world.id(), &entry), world.endings());
    let ending = endings.get(&key).await.unwrap().unwrap();
    assert!(ending.value.is_of(&entry.created_at()) && !ending.value.is_of("another"));
    let info = &ending.value.info;
    assert_eq!((&info["execution_status"], &info["id"]), (&json!("deleting"), &json!(entry.id)));
    assert_eq!(world.told_at_the_end(&entry).await, ["e0", "e1", "e2", "e3", "e4"]);
    let stored = world.ports.kv.list(WEBHOOK_ENDS).await.unwrap();
    let records: Vec<_> = stored.iter().filter_map(|(key, _)| endings.conversation(key)).collect();
    assert_eq!((stored.len(), records), (4, vec![entry.id]));
    assert!(endings.remove(&key, &ending, true).await.unwrap());
    assert!(world.ports.kv.list(WEBHOOK_ENDS).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_batch_that_is_larger_than_what_is_kept_loses_only_what_is_too_much() {
    let mut world = world().await;
    (world.hook.event_buffer_size, world.hook.max_queue_size) = (100, 3);
    let entry = world.ended(9).await;
    assert!(!world.put_aside(&entry).await);
    assert_eq!(world.told_at_the_end(&entry).await, ["e0", "e1", "e2"]);
    let entry = world.ended(9).await;
    let two = world.batch(&entry, Seq::ZERO, 2, 1 << 20).await.body.len();
    (world.hook.max_queue_size, world.hook.max_queue_bytes) = (100, two);
    assert!(!world.put_aside(&entry).await);
    assert_eq!(world.told_at_the_end(&entry).await, ["e0", "e1"]);
}

#[tokio::test]
async fn a_deletion_that_was_cut_off_when_the_log_had_gone_takes_nothing_from_what_was_put_aside() {
    let world = world().await;
    let entry = world.ended(7).await;
    assert!(world.put_aside(&entry).await);
    let extent = world.ports.log.extent(&entry.log).await.unwrap();
    world.ports.log.remove(&entry.log, extent).await.unwrap();
    assert!(world.put_aside(&entry).await);
    let all: Vec<String> = (0..7).map(|n| format!("e{n}")).collect();
    assert_eq!(world.told_at_the_end(&entry).await, all);
    // Whoever has looked before that takes nothing of it with him.
    let (key, endings) = (key(&world.id(), &entry), world.endings());
    let before = endings.get(&key).await.unwrap().unwrap();
    world.put_aside(&entry).await;
    assert!(!endings.remove(&key, &before, true).await.unwrap());
    assert_eq!(world.told_at_the_end(&entry).await, all);
}

#[tokio::test]
async fn several_that_delete_one_conversation_put_everything_aside_once() {
    let mut world = world().await;
    world.hook.event_buffer_size = 1;
    let entry = world.ended(20).await;
    let tries = futures_util::future::join_all((0..4).map(|_| world.put_aside(&entry))).await;
    assert_eq!(tries, [true; 4]);
    let all: Vec<String> = (0..20).map(|n| format!("e{n}")).collect();
    assert_eq!(world.told_at_the_end(&entry).await, all);
    assert_eq!(world.ports.kv.list(WEBHOOK_ENDS).await.unwrap().len(), 21, "and leave nothing else behind");
}

#[tokio::test]
async fn an_end_makes_room_with_its_events_first_and_then_goes() {
    let world = world().await;
    let entry = world.ended(7).await;
    world.put_aside(&entry).await;
    let (key, endings) = (key(&world.id(), &entry), world.endings());
    let gone = endings.give_up(&key).await.unwrap().unwrap();
    assert!(!gone.is_empty() && gone.iter().all(|piece| endings.record_of_piece(piece).is_some()));
    assert_eq!(world.told_at_the_end(&entry).await, Vec::<String>::new());
    assert_eq!(world.ports.kv.list(WEBHOOK_ENDS).await.unwrap().len(), 1);
    assert_eq!(endings.give_up(&key).await.unwrap(), Some(vec![key.clone()]));
    assert!(world.ports.kv.list(WEBHOOK_ENDS).await.unwrap().is_empty());
    assert_eq!(endings.give_up(&key).await.unwrap(), None);
}
