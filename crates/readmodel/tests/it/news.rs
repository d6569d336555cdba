//! Who follows all conversations of a tenant is told of each that is not as it was, whatever has changed it.

use std::time::Duration;

use bytes::Bytes;
use manyhands_readmodel::index::News;
use serde_json::json;
use tokio::time::timeout;
use types::log::LogRecord;
use types::{ConversationId, SandboxId, TenantId};

use crate::doubles::{World, record, until, until_folded};
use crate::keeping_up::made_elsewhere;

/// Waits until it was told of `id`, and then until it is told of nothing any more.
async fn until_told(news: &News, id: ConversationId) {
    let told = async { while news.next().await.expect("there is room") != id {} };
    timeout(Duration::from_secs(10), told).await.expect("it is told in time");
}

async fn drain(world: &World, news: &News) {
    world.settle().await;
    let last = ConversationId::random();
    news.add(last);
    until_told(news, last).await;
}

fn usage() -> Bytes {
    let text =
        json!({"control": {"type": "usage", "usage_id": "agent", "tokens": {"model": "m"}, "cost": 0.5,
        "latency": 1.0, "at": 0.0}})
        .to_string();
    LogRecord::decode(text.as_bytes()).unwrap().encode().unwrap().into()
}

#[tokio::test]
async fn whatever_changes_a_conversation_is_told() {
    let world = World::start().await;
    let news = world.index.news(&TenantId::default());
    let entry = world.conversation().await;
    until_told(&news, entry.id).await;

    drain(&world, &news).await;
    let end = world.append(&entry.log).await;
    until_told(&news, entry.id).await;
    until_folded(&entry, end).await;

    drain(&world, &news).await;
    let cost = || entry.brief().unwrap().text.contains("\"cost\":0.5");
    world.ports.log.append(&entry.log, end, vec![usage()]).await.unwrap();
    until_told(&news, entry.id).await;
    assert!(cost(), "what is told of is there: {}", entry.brief().unwrap().text);

    drain(&world, &news).await;
    world.index.update(&entry, |record| record.title.replace("t".to_owned()).is_none()).await.unwrap();
    until_told(&news, entry.id).await;

    let elsewhere = record(&SandboxId::shared());
    made_elsewhere(&world, &elsewhere).await;
    until_told(&news, elsewhere.id).await;
    until("it is there", || world.index.any(elsewhere.id)).await;

    // Who looks when it is hidden finds it in the store still, so that it is gone is told again.
    let forget = async |_: &_| {
        drain(&world, &news).await;
        Ok::<_, ports::Error>(())
    };
    assert!(world.index.delete(&TenantId::default(), entry.id, forget).await.unwrap());
    until_told(&news, entry.id).await;
    assert!(world.index.read(entry.id).await.unwrap().is_none());
}

#[tokio::test]
async fn what_was_missed_is_told_when_it_is_found() {
    let world = World::start().await;
    let entry = world.conversation().await;
    let news = world.index.news(&TenantId::default());
    drain(&world, &news).await;
    world.bus.lose(&entry.log);
    let missed = world.append(&entry.log).await;
    world.bus.lag();
    until_told(&news, entry.id).await;
    until_folded(&entry, missed).await;
}

#[tokio::test]
async fn who_does_not_listen_any_more_and_other_tenants_are_told_nothing() {
    let world = World::start().await;
    let other: TenantId = serde_json::from_value("another".into()).unwrap();
    let (own, others) = (world.index.news(&TenantId::default()), world.index.news(&other));
    let mut theirs = record(&SandboxId::shared());
    theirs.tenant = other;
    world.index.create(&theirs).await.unwrap();
    until_told(&others, theirs.id).await;
    drop(others);
    let entry = world.conversation().await;
    assert_eq!(own.next().await, Some(entry.id));
}
