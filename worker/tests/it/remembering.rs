//! What a conversation that rested costs when it goes on.

use std::sync::Arc;
use std::time::Duration;

use crate::support::counted::Counts;
use crate::support::{World, finish, message, until};
use manyhands_worker::Config;
use serde_json::json;
use types::Seq;
use types::log::LogRecord;

/// A world that counts what is read of logs, and remembers also short conversations.
async fn counting(change: impl FnOnce(&mut Config)) -> (World, Arc<Counts>) {
    let counts = Arc::new(Counts::default());
    let remembering = |config: &mut Config| {
        config.remembered_from = 0;
        change(config);
    };
    (World::with(remembering, |ports| counts.count(ports)).await, counts)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_after_a_rest_reads_nothing_of_the_log_again() {
    let (world, read) = counting(|_| {}).await;
    let id = world.create();
    world.say(id, "first", false).await.unwrap();
    read.records();
    world.after_a_rest(id, || message("second", false)).await;
    assert_eq!(read.records(), 0);

    world.model.will([finish()]);
    world.say(id, "third", true).await.unwrap();
    world.wait_status(id, "finished").await;
    let request = world.model.requests().pop().unwrap().to_string();
    for said in ["first", "second", "third"] {
        assert!(request.contains(said), "{said} is not in {request}");
    }
    assert_eq!(world.kinds(id, "SystemPromptEvent").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_wrote_while_a_conversation_rested_is_part_of_it() {
    let (world, _) = counting(|_| {}).await;
    let id = world.create();
    world.say(id, "first", false).await.unwrap();
    let n = world.events(id).await.len() as u64;
    let event = json!({"id": "of-another", "timestamp": "2020-01-01T00:00:00.000001", "source": "user",
        "kind": "MessageEvent", "llm_message": {"role": "user", "content": [{"type": "text", "text": "from elsewhere"}]}});
    let record = LogRecord::event(n, &event).unwrap().encode().unwrap();
    world.let_it_leave_memory().await;
    let tail = world.ports.log.tail(&world.log(id)).await.unwrap();
    world.ports.log.append(&world.log(id), tail, vec![record.into()]).await.unwrap();

    world.model.will([finish()]);
    world.say(id, "last", true).await.unwrap();
    world.wait_status(id, "finished").await;
    let request = world.model.requests().pop().unwrap().to_string();
    assert!(request.contains("from elsewhere"), "{request}");
    let indexes: Vec<u64> = world
        .log_records(id)
        .await
        .iter()
        .filter_map(|record| match record {
            LogRecord::Event { n, .. } => Some(*n),
            LogRecord::Control(_) => None,
        })
        .collect();
    assert_eq!(indexes, (0..indexes.len() as u64).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_was_made_anew_is_not_taken_for_the_one_that_is_remembered() {
    let (world, _) = counting(|_| {}).await;
    let id = world.create();
    world.say(id, "of the old one", false).await.unwrap();
    world.let_it_leave_memory().await;
    world.ports.log.delete(&world.log(id)).await.unwrap();

    world.model.will([finish()]);
    world.say(id, "of the new one", true).await.unwrap();
    world.wait_status(id, "finished").await;
    assert_eq!(world.kinds(id, "SystemPromptEvent").await.len(), 1);
    let request = world.model.requests().pop().unwrap().to_string();
    assert!(request.contains("of the new one") && !request.contains("of the old one"), "{request}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_that_was_made_anew_inherits_no_memory_however_long_its_log_is() {
    let (world, _) = counting(|_| {}).await;
    let id = world.create();
    world.say(id, "of the old one", false).await.unwrap();
    world.let_it_leave_memory().await;
    // Deleted, and made anew with a log that ends later than the old one did.
    world.ports.log.delete(&world.log(id)).await.unwrap();
    let event = json!({"id": "of-another", "timestamp": "2020-01-01T00:00:00.000001", "source": "user",
        "kind": "MessageEvent", "llm_message": {"role": "user", "content": [{"type": "text", "text": "x".repeat(100_000)}]}});
    let record = LogRecord::event(0, &event).unwrap().encode().unwrap();
    world.ports.log.append(&world.log(id), Seq::ZERO, vec![record.into()]).await.unwrap();
    world.change_record(id, |copy| copy.created_at = "2026-11-23T00:00:01.000000Z".to_owned());

    world.model.will([finish()]);
    world.say(id, "of the new one", true).await.unwrap();
    world.wait_status(id, "finished").await;
    let request = world.model.requests().pop().unwrap().to_string();
    assert!(request.contains("of the new one") && !request.contains("of the old one"), "{request:.2000}");
    assert!(request.contains("xxxxx"), "what the new log says is part of it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_exceeds_the_memory_for_resting_conversations_is_read_again() {
    let (world, read) = counting(|config| config.remembered_bytes = 1).await;
    let id = world.create();
    world.say(id, "first", false).await.unwrap();
    read.records();
    world.after_a_rest(id, || message("second", false)).await;
    assert!(read.records() > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_few_large_messages_are_remembered_as_many_small_ones_are() {
    let (world, read) = counting(|config| config.remembered_from = u64::MAX).await;
    let id = world.create();
    world.say(id, &"x".repeat(300_000), false).await.unwrap();
    read.records();
    world.after_a_rest(id, || message("second", false)).await;
    assert_eq!(read.records(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_that_rested_for_long_is_forgotten() {
    let (world, read) = counting(|config| config.remembered_for = Duration::ZERO).await;
    let id = world.create();
    world.say(id, "first", false).await.unwrap();
    until(async || {
        read.records();
        world.after_a_rest(id, || message("again", false)).await;
        read.records() > 0
    })
    .await;
}
