//! One log is followed once, however many look at it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;
use manyhands_readmodel::bashlog::{Listener, Query, Tails, text_of, unless_cleared};
use serde_json::json;
use tokio::time::timeout;
use types::{BashScope, LogId, SandboxId, Seq, subjects};
use uuid::Uuid;

use crate::doubles::World;

#[tokio::test]
async fn all_who_wait_for_a_bash_log_share_one_subscription_and_miss_nothing() {
    let world = World::start().await;
    let log = LogId::bash(&SandboxId::shared(), BashScope::Sandbox);
    let tails = Tails::new(&world.ports, &world.tasks, &world.drain);
    let mut tail = append(&world, &log, Seq::ZERO, 0..3).await;
    let mut all = Listener::new(tails.of(log.clone()), true).await.unwrap();
    let mut new = Vec::new();
    for _ in 0..8 {
        new.push(Listener::new(tails.of(log.clone()), false).await.unwrap());
    }
    tail = append(&world, &log, tail, 3..40).await;
    assert_eq!(told(&mut all, 40).await, (0..40).collect::<Vec<_>>());
    for listener in &mut new {
        assert_eq!(told(listener, 37).await, (3..40).collect::<Vec<_>>());
    }
    let page = tails.of(log.clone()).search(&Query { limit: 100, ..Query::default() }).await.unwrap();
    assert_eq!(page.entries.len(), 40);

    world.ports.log.delete(&log).await.unwrap();
    append(&world, &log, Seq::ZERO, 90..91).await;
    for listener in &mut new {
        assert_eq!(told(listener, 1).await, [90], "a log that was cleared begins anew");
    }
    assert!(tail > Seq::ZERO);
    let subscriptions = world.bus.subscriptions.lock().unwrap();
    let subject = subjects::stored(&log);
    assert_eq!(subscriptions.iter().filter(|pattern| **pattern == subject).count(), 1);
}

#[tokio::test]
async fn events_that_are_cleared_while_they_are_read_are_gone_and_no_failure() {
    let world = World::start().await;
    let log = LogId::bash(&SandboxId::shared(), BashScope::Sandbox);
    let tail = Tails::new(&world.ports, &world.tasks, &world.drain).of(log.clone());
    append(&world, &log, Seq::ZERO, 0..3).await;
    let is_cleared = AtomicBool::new(false);
    let read = || async {
        let page = tail.search(&Query { limit: 100, ..Query::default() }).await?;
        if !is_cleared.swap(true, Ordering::Relaxed) {
            world.ports.log.delete(&log).await?;
        }
        text_of(tail.event_log(), &log, page).parts.try_collect::<Vec<Bytes>>().await
    };
    assert_eq!(unless_cleared(read).await.unwrap().concat(), br#"{"items":[],"next_page_id":null}"#);
}

pub async fn append(world: &World, log: &LogId, mut tail: Seq, ids: std::ops::Range<u64>) -> Seq {
    for id in ids {
        tail = world.ports.log.append(log, tail, vec![event(id)]).await.unwrap().tail();
    }
    tail
}

/// The ids of the next events.
pub async fn told(listener: &mut Listener, count: usize) -> Vec<u128> {
    let mut ids = Vec::new();
    while ids.len() < count {
        let records = timeout(Duration::from_secs(10), listener.next()).await.expect("it is told").unwrap();
        let read = records.iter().map(|record| serde_json::from_slice::<serde_json::Value>(&record.payload));
        ids.extend(
            read.map(|event| Uuid::parse_str(event.unwrap()["id"].as_str().unwrap()).unwrap().as_u128()),
        );
    }
    ids
}

fn event(id: u64) -> Bytes {
    let id = Uuid::from_u128(id.into()).simple().to_string();
    json!({"kind": "BashCommand", "id": id, "timestamp": "2026-11-23T00:00:00.000000Z"}).to_string().into()
}
