//! A deletion that was cut off when the log had gone, of a conversation that goes on with another one; and a process that dies
//! when a hook has taken what is not noted yet.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use ports::doubles::KvDouble;
use ports::{Expect, Kv};
use readmodel::index::ConversationState;
use telemetry::metrics::Metrics;
use tokio_util::sync::CancellationToken;
use types::Seq;
use types::buckets::{WEBHOOK_ENDS, WEBHOOKS};

use super::super::cursor::key;
use super::super::ledger::Waits;
use super::full::Narrow;
use super::receiver::{Calls, events, eventually, receiver, told};
use super::{World, events_of, webhooks, world};

impl World {
    async fn with_hook() -> (Self, Calls) {
        let (mut world, (hook, calls)) = (world().await, receiver().await);
        world.hook = hook;
        (world, calls)
    }

    /// So many events of it.
    async fn was_told(&self, entry: &ConversationState, events: usize) {
        let at = self.ports.log.read(&entry.log, Seq::ZERO, events).await.unwrap().pop().unwrap().seq;
        let cursors = self.cursors().await;
        let known = cursors.known(entry).await.unwrap();
        cursors.change(entry, &known, |cursor| cursor.deliver(at, events as u64)).await.unwrap();
    }

    /// Its log is another one from now on.
    async fn goes_on_with(&self, entry: &Arc<ConversationState>, records: Vec<Bytes>) {
        let extent = self.ports.log.extent(&entry.log).await.unwrap();
        self.ports.log.remove(&entry.log, extent).await.unwrap();
        self.append(entry, records).await;
    }

    /// Tells the hook, where no deletion is waited for, until so many events were told.
    async fn tell(&self, calls: &Calls, enough: usize) {
        let (stop, metrics) = (CancellationToken::new(), Metrics::of_gateway());
        let webhooks = webhooks(self, self.ports.kv.clone(), &metrics);
        let mut courier = webhooks.courier(0, &self.hook, self.id(), &stop).await.unwrap();
        courier.waits = Arc::new(Waits::of(Duration::ZERO));
        let telling = tokio::spawn({
            let stop = stop.clone();
            async move { courier.run(stop, true).await }
        });
        eventually("they are told", || events(calls).len() >= enough).await;
        stop.cancel();
        telling.await.unwrap();
    }

    async fn is_settled(&self, entry: &ConversationState) {
        assert!(self.ports.kv.list(WEBHOOK_ENDS).await.unwrap().is_empty());
        let cursor = self.cursors().await.known(entry).await.unwrap().cursor;
        assert_eq!(cursor.at, self.ports.log.tail(&entry.log).await.unwrap());
    }
}

fn ids(numbers: impl IntoIterator<Item = u64>) -> Vec<String> {
    numbers.into_iter().map(|n| format!("e{n}")).collect()
}

#[tokio::test]
async fn of_a_log_that_has_gone_and_the_one_that_came_in_its_place_both_are_told_one_after_the_other() {
    let (world, calls) = World::with_hook().await;
    let entry = world.ended(3).await;
    world.was_told(&entry, 1).await;
    assert!(world.put_aside(&entry).await);
    world.goes_on_with(&entry, events_of(10..14, "small")).await;
    world.tell(&calls, 6).await;
    assert_eq!(events(&calls), ids([1, 2, 10, 11, 12, 13]));
    world.is_settled(&entry).await;
}

#[tokio::test]
async fn what_came_in_the_place_of_a_log_that_was_not_put_aside_is_told_from_its_beginning() {
    let (mut world, calls) = World::with_hook().await;
    world.hook.event_buffer_size = 1;
    let entry = world.ended(0).await;
    world.append(&entry, events_of(0..3, &"x".repeat(10_000))).await;
    world.was_told(&entry, 1).await;
    let store = Narrow::new(&world, 9_000);
    webhooks(&world, store, &Metrics::of_gateway()).put_aside(&entry).await.unwrap();
    assert!(world.told_at_the_end(&entry).await.is_empty());
    world.goes_on_with(&entry, events_of(10..14, "small")).await;
    world.tell(&calls, 4).await;
    assert_eq!(events(&calls), ids([10, 11, 12, 13]));
    world.is_settled(&entry).await;
}

#[tokio::test]
async fn an_end_that_cannot_be_read_goes_and_keeps_no_event_from_being_told() {
    let (world, calls) = World::with_hook().await;
    let entry = world.ended(3).await;
    let key = key(&world.id(), &entry);
    world.ports.kv.put(WEBHOOK_ENDS, &key, "{torn".into(), Expect::Absent).await.unwrap();
    world.tell(&calls, 3).await;
    assert_eq!(events(&calls), ids(0..3));
    world.is_settled(&entry).await;
}

#[tokio::test]
async fn a_conversation_whose_deletion_failed_is_told_at_once() {
    let (world, calls) = World::with_hook().await;
    let entry = world.ended(3).await;
    assert!(world.put_aside(&entry).await);
    let stop = CancellationToken::new();
    let webhooks = webhooks(&world, world.ports.kv.clone(), &Metrics::of_gateway());
    let telling = tokio::spawn(webhooks.tell(stop.clone()));
    eventually("they are told", || events(&calls).len() >= 3).await;
    assert_eq!(events(&calls), ids(0..3));
    stop.cancel();
    telling.await.unwrap();
}

#[tokio::test]
async fn what_came_in_the_place_of_a_log_that_was_told_is_told_without_another_change() {
    let (world, calls) = World::with_hook().await;
    let entry = world.ended(3).await;
    world.was_told(&entry, 3).await;
    assert!(world.put_aside(&entry).await);
    // Fewer than were told before: nothing seems to be behind the cursor.
    world.goes_on_with(&entry, events_of(10..11, "small")).await;
    world.tell(&calls, 1).await;
    assert_eq!(events(&calls), ids([10]));
    world.is_settled(&entry).await;
}

#[tokio::test]
async fn who_deletes_again_puts_all_of_a_new_log_aside_behind_what_is_left_of_the_one_before() {
    let (world, calls) = World::with_hook().await;
    let entry = world.ended(3).await;
    assert!(world.put_aside(&entry).await);
    world.goes_on_with(&entry, events_of(10..14, "small")).await;
    assert!(world.put_aside(&entry).await);
    assert_eq!(world.told_at_the_end(&entry).await, ids([0, 1, 2, 10, 11, 12, 13]));
    // That deletion is cut off as well, and its log is still there.
    world.tell(&calls, 7).await;
    assert_eq!(events(&calls), ids([0, 1, 2, 10, 11, 12, 13]), "each once, from what has it");
    world.is_settled(&entry).await;
}

/// A store that never answers whether it has taken a cursor.
struct Silent {
    kv: Arc<dyn Kv>,
    asked: AtomicUsize,
}

#[async_trait::async_trait]
impl KvDouble for Silent {
    fn inner(&self) -> ports::Result<&dyn Kv> {
        Ok(&*self.kv)
    }

    async fn put(&self, bucket: &str, key: &str, value: Bytes, expect: Expect) -> ports::Result<u64> {
        if bucket == WEBHOOKS && key.contains('.') {
            self.asked.fetch_add(1, Ordering::SeqCst);
            std::future::pending::<()>().await;
        }
        self.kv.put(bucket, key, value, expect).await
    }
}

#[tokio::test]
async fn what_a_hook_has_taken_when_the_process_dies_before_that_is_noted_is_told_again_in_order() {
    let (mut world, calls) = World::with_hook().await;
    world.hook.event_buffer_size = 2;
    let entry = world.ended(5).await;
    let store = Arc::new(Silent { kv: world.ports.kv.clone(), asked: AtomicUsize::new(0) });
    let stop = CancellationToken::new();
    let dying = tokio::spawn(webhooks(&world, store.clone(), &Metrics::of_gateway()).tell(stop));
    // That of the events, and that of the conversation.
    eventually("it is to be noted", || store.asked.load(Ordering::SeqCst) == 2).await;
    dying.abort();
    assert!(dying.await.unwrap_err().is_cancelled());
    assert_eq!((events(&calls), told(&calls, "/conversations")), (ids([0]), 1));
    world.tell(&calls, 6).await;
    assert_eq!(events(&calls), ids([0, 0, 1, 2, 3, 4]));
    assert_eq!(told(&calls, "/conversations"), 2);
    world.is_settled(&entry).await;
}
