//! What a hook is told while the store fails, and after a deletion that was cut off.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use ports::doubles::KvDouble;
use ports::{Expect, Kv};
use telemetry::metrics::Metrics;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use types::buckets::{WEBHOOK_ENDS, WEBHOOKS};

use super::super::cursor::key;
use super::super::lane::{Ended, Lane};
use super::super::ledger::Waits;
use super::receiver::{eventually, receiver, told};
use super::{World, webhooks, world};

/// A store that takes no cursors for now.
struct Refusing {
    kv: Arc<dyn Kv>,
    refuses: AtomicBool,
    refused: AtomicUsize,
}

impl Refusing {
    fn new(world: &World) -> Arc<Self> {
        let (refuses, refused) = (AtomicBool::new(true), AtomicUsize::new(0));
        Arc::new(Self { kv: world.ports.kv.clone(), refuses, refused })
    }
}

#[async_trait::async_trait]
impl KvDouble for Refusing {
    fn inner(&self) -> ports::Result<&dyn Kv> {
        Ok(&*self.kv)
    }

    async fn put(&self, bucket: &str, key: &str, value: Bytes, expect: Expect) -> ports::Result<u64> {
        if bucket == WEBHOOKS && key.contains('.') && self.refuses.load(Ordering::SeqCst) {
            self.refused.fetch_add(1, Ordering::SeqCst);
            return Err(ports::Error::Unavailable("No space left on device".to_owned()));
        }
        self.kv.put(bucket, key, value, expect).await
    }
}

#[tokio::test]
async fn what_was_taken_is_not_told_again_while_the_store_does_not_note_it() {
    let mut world = world().await;
    let (hook, calls) = receiver().await;
    world.hook = hook;
    let entry = world.ended(3).await;
    let store = Refusing::new(&world);
    let stop = CancellationToken::new();
    let telling = tokio::spawn(webhooks(&world, store.clone(), &Metrics::of_gateway()).tell(stop.clone()));
    eventually("it is refused often", || store.refused.load(Ordering::SeqCst) >= 6).await;
    assert_eq!((told(&calls, "/events/"), told(&calls, "/conversations")), (1, 1));
    store.refuses.store(false, Ordering::SeqCst);
    let cursors = world.cursors().await;
    for _ in 0..600 {
        if cursors.known(&entry).await.unwrap().cursor.at == entry.seq() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(cursors.known(&entry).await.unwrap().cursor.at, entry.seq());
    assert_eq!((told(&calls, "/events/"), told(&calls, "/conversations")), (1, 1));
    stop.cancel();
    telling.await.unwrap();
}

#[tokio::test]
async fn ends_that_are_too_much_together_lose_their_events() {
    let mut world = world().await;
    (world.hook.event_buffer_size, world.hook.max_queue_bytes) = (1, 1_000);
    let entry = world.ended(7).await;
    world.put_aside(&entry).await;
    assert!(!world.told_at_the_end(&entry).await.is_empty());
    let stop = CancellationToken::new();
    let (kv, metrics) = (world.ports.kv.clone(), Metrics::of_gateway());
    let telling = tokio::spawn(webhooks(&world, kv, &metrics).tell(stop.clone()));
    eventually("room is made", || metrics.text().contains("given_up")).await;
    assert!(world.told_at_the_end(&entry).await.is_empty());
    assert_eq!(world.ports.kv.list(WEBHOOK_ENDS).await.unwrap().len(), 1, "that it goes is told");
    stop.cancel();
    telling.await.unwrap();
}

#[tokio::test]
async fn of_a_deletion_that_was_cut_off_what_only_its_end_has_is_told_and_nothing_else() {
    for is_log_gone in [false, true] {
        let mut world = world().await;
        let (hook, calls) = receiver().await;
        world.hook = hook;
        let entry = world.ended(3).await;
        world.put_aside(&entry).await;
        if is_log_gone {
            let extent = world.ports.log.extent(&entry.log).await.unwrap();
            world.ports.log.remove(&entry.log, extent).await.unwrap();
        }
        let (stop, metrics) = (CancellationToken::new(), Metrics::of_gateway());
        let webhooks = webhooks(&world, world.ports.kv.clone(), &metrics);
        let mut courier = webhooks.courier(0, &world.hook, world.id(), &stop).await.unwrap();
        let (mut lane, now) = (Lane::new(), Instant::now());
        lane.touch(&key(&world.id(), &entry), now, now);
        let turn = lane.take(now).unwrap();
        assert!(matches!(courier.tell_end(&turn).await, Ended::Waits { .. }));
        assert_eq!(calls.lock().len(), 0, "it may be about to go");
        courier.waits = Arc::new(Waits::of(Duration::ZERO));
        assert!(matches!(courier.tell_end(&turn).await, Ended::Done { .. }));
        assert_eq!(
            (told(&calls, "/events/"), calls.lock().len()),
            match is_log_gone {
                true => (1, 1),
                false => (0, 0),
            }
        );
        assert!(world.ports.kv.list(WEBHOOK_ENDS).await.unwrap().is_empty());
    }
}
