//! Pages of events, whatever workers have written.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use manyhands_readmodel::history::{Filter, History, Order};
use manyhands_readmodel::index::ConversationState;
use serde_json::{Value, json};
use types::log::LogRecord;

use crate::doubles::World;

/// What a page may have beside its last event.
const MOST: usize = 16 << 20;

fn event(n: u64, id: &str, kind: &str, text: &str) -> Bytes {
    let event = json!({"id": id, "timestamp": "2026-11-23T00:00:01", "kind": kind, "source": "agent",
        "llm_message": {"role": "user", "content": [{"type": "text", "text": text}]}});
    LogRecord::event(n, &event).unwrap().encode().unwrap().into()
}

async fn store(world: &World, entry: &Arc<ConversationState>, events: Vec<Bytes>) {
    let mut tail = world.ports.log.tail(&entry.log).await.unwrap();
    for batch in events.chunks(500) {
        let bytes: usize = batch.iter().map(Bytes::len).sum();
        let size = if bytes < 1 << 20 { batch.len() } else { 1 };
        for some in batch.chunks(size) {
            tail = world.ports.log.append(&entry.log, tail, some.to_vec()).await.unwrap().tail();
        }
    }
    world.index.catch_up(entry).await.unwrap();
    assert_eq!(entry.seq(), tail);
}

fn id_of(event: &Bytes) -> String {
    serde_json::from_slice::<Value>(event).unwrap()["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_page_ends_before_it_is_large_and_the_next_one_goes_on_there() {
    const EVENTS: u64 = 12;
    let world = World::start().await;
    let entry = world.conversation().await;
    let large = "x".repeat(3 << 20);
    let ids: Vec<String> = (0..EVENTS).map(|n| format!("event {n} of no uuid")).collect();
    let events = (0..EVENTS).zip(&ids).map(|(n, id)| event(n, id, "MessageEvent", &large)).collect();
    store(&world, &entry, events).await;
    let history = History::new(world.ports.log.clone());
    for body in [None, Some("xxx".to_owned())] {
        for order in [Order::Forward, Order::Backward] {
            let filter = Filter { body: body.clone(), ..Filter::default() };
            let (mut seen, mut from, mut pages) = (Vec::new(), None::<String>, 0);
            loop {
                let page = history.search(&entry, &filter, order, from.as_deref(), 100).await.unwrap();
                let bytes: usize = page.items.iter().map(Bytes::len).sum();
                assert!(bytes <= MOST && !page.items.is_empty(), "{bytes}");
                seen.extend(page.items.iter().map(id_of));
                pages += 1;
                let Some(next) = page.next else { break };
                from = Some(next);
            }
            if order == Order::Backward {
                seen.reverse();
            }
            assert_eq!(seen, ids, "{body:?} {order:?}");
            assert!(pages > 2, "{pages}");
        }
    }
}

#[tokio::test]
async fn events_are_told_apart_by_whatever_a_worker_calls_them_and_their_kinds() {
    const EVENTS: u64 = 66_000;
    let world = World::start().await;
    let entry = world.conversation().await;
    let long = "i".repeat(1 << 16);
    let name = |n: u64| if n == 7 { long.clone() } else { format!("{n}") };
    let events = (0..EVENTS).map(|n| event(n, &name(n), &format!("Kind{n}"), "")).collect();
    store(&world, &entry, events).await;
    let history = History::new(world.ports.log.clone());
    for n in [0, 7, 65_535, 65_536, 65_999] {
        assert_eq!(history.get(&entry, &name(n)).await.unwrap().map(|event| id_of(&event)), Some(name(n)));
        let filter = Filter { kind: Some(format!("Kind{n}")), ..Filter::default() };
        assert_eq!(history.count(&entry, &filter).await.unwrap(), 1, "{n}");
    }
    let page = history.search(&entry, &Filter::default(), Order::Forward, Some("6"), 1).await.unwrap();
    assert_eq!(page.next, Some(long.clone()), "the next page begins with a long id");
    let page = history.search(&entry, &Filter::default(), Order::Forward, Some(&long), 2).await.unwrap();
    let ids: HashSet<String> = page.items.iter().map(id_of).collect();
    assert_eq!(ids, HashSet::from([long, "8".to_owned()]));
}
