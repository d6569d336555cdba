//! The index keeps up: what is late holds up nothing that is fresh, and nothing is missed.

use manyhands_readmodel::index::{ConversationState, Created, Index};
use ports::Expect;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use types::buckets::{CONVERSATIONS, PROJECTIONS};
use types::conversation::{ConversationRecord, Titling};
use types::{LogId, SandboxId, Seq, TenantId};

use crate::doubles::{World, message, record, until, until_folded};

/// More than there are tasks that fold, so that some share one with the conversation that is late.
const OTHERS: usize = 12;

async fn others_are_folded_while_this_is_not(world: &World, late: &ConversationState) {
    for _ in 0..OTHERS {
        let fresh = world.conversation().await;
        let seq = world.append(&fresh.log).await;
        until_folded(&fresh, seq).await;
    }
    assert_eq!(late.seq(), Seq::ZERO);
}

#[tokio::test]
async fn a_conversation_with_a_gap_holds_up_no_other() {
    let world = World::start().await;
    let late = world.conversation().await;
    world.bus.lose(&late.log);
    let missed = world.append(&late.log).await;
    world.settle().await;
    world.bus.deliver(&late.log);
    world.logs.stick(&late.log);
    let (_, tails) = world.logs.asked(&late.log);
    world.publish_after_a_gap(&late.log).await;
    world.logs.until_asked(&late.log, |asked| asked.1 > tails).await;
    others_are_folded_while_this_is_not(&world, &late).await;
    world.logs.release(&late.log);
    until_folded(&late, missed).await;
}

#[tokio::test]
async fn what_is_fresh_is_folded_while_a_lag_is_looked_into() {
    let world = World::start().await;
    let late = world.conversation().await;
    world.bus.lose(&late.log);
    let missed = world.append(&late.log).await;
    world.logs.stick(&late.log);
    let (_, tails) = world.logs.asked(&late.log);
    world.bus.lag();
    world.logs.until_asked(&late.log, |asked| asked.1 > tails).await;
    others_are_folded_while_this_is_not(&world, &late).await;
    world.logs.release(&late.log);
    until_folded(&late, missed).await;
}

#[tokio::test]
async fn however_many_logs_do_not_tell_where_they_end_others_are_read() {
    let world = World::start().await;
    let mut stuck = Vec::new();
    for _ in 0..40 {
        let entry = world.conversation().await;
        world.logs.stick(&entry.log);
        world.publish_after_a_gap(&entry.log).await;
        stuck.push(entry);
    }
    let late = world.conversation().await;
    world.bus.lose(&late.log);
    let missed = world.append(&late.log).await;
    world.settle().await;
    world.bus.deliver(&late.log);
    world.publish_after_a_gap(&late.log).await;
    until_folded(&late, missed).await;
}

#[tokio::test]
async fn however_many_logs_do_not_tell_where_they_end_a_lag_is_looked_into_for_others() {
    let world = World::start().await;
    let mut missed = Vec::new();
    for number in 0..160 {
        let entry = world.conversation().await;
        world.bus.lose(&entry.log);
        let seq = world.append(&entry.log).await;
        if number % 2 == 0 { world.logs.stick(&entry.log) } else { missed.push((entry, seq)) }
    }
    world.bus.lag();
    for (entry, seq) in missed {
        until_folded(&entry, seq).await;
    }
}

#[tokio::test]
async fn after_a_lag_only_logs_that_go_beyond_what_is_known_are_read() {
    let world = World::start().await;
    let mut current = Vec::new();
    for _ in 0..OTHERS {
        let entry = world.conversation().await;
        let seq = world.append(&entry.log).await;
        until_folded(&entry, seq).await;
        current.push(entry);
    }
    let late = world.conversation().await;
    world.bus.lose(&late.log);
    let missed = world.append(&late.log).await;
    let before: Vec<_> = current.iter().map(|entry| world.logs.asked(&entry.log)).collect();
    world.bus.lag();
    until_folded(&late, missed).await;
    for (entry, (pages, tails)) in current.iter().zip(before) {
        world.logs.until_asked(&entry.log, |asked| asked.1 > tails).await;
        assert_eq!(world.logs.asked(&entry.log).0, pages);
    }
}

#[tokio::test]
async fn a_new_conversation_whose_log_does_not_answer_holds_up_no_other() {
    let world = World::start().await;
    let (stuck, other) = (record(&SandboxId::shared()), record(&SandboxId::shared()));
    let log = LogId::conversation(&stuck.sandbox, stuck.id);
    world.logs.stick(&log);
    made_elsewhere(&world, &stuck).await;
    world.logs.until_asked(&log, |asked| asked.1 > 0).await;
    made_elsewhere(&world, &other).await;
    until("the other conversation is there", || world.index.any(other.id)).await;
    assert!(world.index.any(stuck.id).is_none(), "it is not shown before it was read");
    world.logs.release(&log);
    until("the late conversation is there", || world.index.any(stuck.id)).await;
}

#[tokio::test]
async fn what_is_stored_while_a_conversation_is_taken_in_is_not_missed() {
    let world = World::start().await;
    let taken_in = record(&SandboxId::shared());
    let log = LogId::conversation(&taken_in.sandbox, taken_in.id);
    let first = world.append(&log).await;
    // Nobody hears of it: the conversation is not in the index yet.
    world.bus.lose(&log);
    world.logs.store_after_reading(&log, message());
    made_elsewhere(&world, &taken_in).await;
    let entry = until("the conversation is there", || world.index.any(taken_in.id)).await;
    until_folded(&entry, Seq(first.0 + 1)).await;
}

#[tokio::test]
async fn the_conversations_of_a_sandbox_are_those_that_are_in_it() {
    let world = World::start().await;
    let sandboxes = ["one", "two"].map(|name| SandboxId::parse(name).unwrap());
    let records: Vec<_> = (0..6).map(|n| record(&sandboxes[n % 2])).collect();
    for record in &records {
        world.index.create(record).await.unwrap();
    }
    let ids = |sandbox| {
        let mut ids: Vec<_> = world.index.in_sandbox(sandbox).iter().map(|entry| entry.id).collect();
        ids.sort();
        ids
    };
    let expected = |of: &[usize]| {
        let mut ids: Vec<_> = of.iter().map(|n| records[*n].id).collect();
        ids.sort();
        ids
    };
    assert_eq!((ids(&sandboxes[0]), ids(&sandboxes[1])), (expected(&[0, 2, 4]), expected(&[1, 3, 5])));
    let forget = async |_: &_| ports::Result::Ok(());
    assert!(world.index.delete(&TenantId::default(), records[2].id, forget).await.unwrap());
    assert_eq!((ids(&sandboxes[0]), ids(&sandboxes[1])), (expected(&[0, 4]), expected(&[1, 3, 5])));
    assert_eq!(world.index.in_sandbox(&SandboxId::parse("three").unwrap()).len(), 0);
}

#[tokio::test]
async fn how_titles_are_made_is_in_the_store_and_not_in_the_memory() {
    let world = World::start().await;
    let titling = Titling { prompt: Some("p".repeat(2_000)), ..Titling::default() };
    let own = ConversationRecord { titling: titling.clone(), ..record(&SandboxId::shared()) };
    let other = ConversationRecord { titling: titling.clone(), ..record(&SandboxId::shared()) };
    world.index.create(&own).await.unwrap();
    made_elsewhere(&world, &other).await;
    let other = until("the conversation is there", || world.index.any(other.id)).await;
    let own = world.index.any(own.id).unwrap();
    world
        .index
        .update(&own, |record| record.tags.insert("a".to_owned(), "b".to_owned()).is_none())
        .await
        .unwrap();
    for entry in [own, other] {
        assert_eq!(entry.record().titling, Titling::default());
        assert_eq!(world.index.read(entry.id).await.unwrap().unwrap().titling, titling);
    }
}

/// Another replica stores the record of a conversation.
pub async fn made_elsewhere(world: &World, record: &ConversationRecord) {
    let value = serde_json::to_vec(record).unwrap();
    world.ports.kv.put(CONVERSATIONS, &record.id.hex(), value.into(), Expect::Absent).await.unwrap();
}

#[tokio::test]
async fn what_another_gateway_has_made_is_found_before_this_one_is_told() {
    let world = World::start().await;
    world.buckets.be_silent(true);
    let made = record(&SandboxId::shared());
    made_elsewhere(&world, &made).await;
    assert!(world.index.get(&made.tenant, made.id).is_none());
    let stranger = TenantId::parse("stranger").unwrap();
    assert!(world.index.find(&stranger, made.id).await.unwrap().is_none());
    let entry = world.index.find(&made.tenant, made.id).await.unwrap().expect("it is there");
    assert_eq!(*entry.created_at(), *made.created_at);
    assert_eq!(world.index.count(&made.tenant, None), 1);
}

/// A conversation is read before it is shown; it goes while it is read for who comes upon it.
async fn goes_while_it_is_read(come_upon: impl FnOnce(Index, ConversationRecord) -> JoinHandle<()>) {
    let world = World::start().await;
    world.buckets.be_silent(true);
    let made = record(&SandboxId::shared());
    made_elsewhere(&world, &made).await;
    let log = LogId::conversation(&made.sandbox, made.id);
    world.logs.stick(&log);
    let coming = come_upon(world.index.clone(), made.clone());
    world.logs.until_asked(&log, |(pages, tails)| pages + tails > 0).await;
    world.ports.kv.delete(CONVERSATIONS, &made.id.hex(), Expect::Anything).await.unwrap();
    world.logs.release(&log);
    coming.await.unwrap();
    until("it is gone", || world.index.any(made.id).is_none().then_some(())).await;
}

#[tokio::test]
async fn what_another_gateway_has_deleted_while_it_was_looked_for_is_not_kept() {
    goes_while_it_is_read(|index, made| {
        tokio::spawn(async move {
            index.find(&made.tenant, made.id).await.unwrap();
        })
    })
    .await;
}

#[tokio::test]
async fn what_another_gateway_has_deleted_while_its_id_was_asked_for_is_not_kept() {
    goes_while_it_is_read(|index, made| {
        tokio::spawn(async move {
            let Created::Existing(_) = index.create(&made).await.unwrap() else { panic!("it is there") };
        })
    })
    .await;
}

/// A gateway of the release before runs beside this one for a while.
#[tokio::test]
async fn a_fold_that_another_release_has_stored_is_not_believed() {
    let world = World::start().await;
    let entry = world.conversation().await;
    let seq = world.append(&entry.log).await;
    until_folded(&entry, seq).await;
    let mut projection = entry.with_projection(|projection| serde_json::to_value(projection).unwrap());
    let known = projection["leaf_event_id"].clone();
    projection["leaf_event_id"] = "of a branch that was left".into();
    let saved = serde_json::json!({"created_at": *entry.created_at(), "projection": projection});
    let value = serde_json::to_vec(&saved).unwrap().into();
    world.ports.kv.put(PROJECTIONS, &entry.id.hex(), value, Expect::Anything).await.unwrap();
    let (tasks, drain) = (TaskTracker::new(), CancellationToken::new());
    let index = Index::start(&world.ports, &tasks, &drain).await.unwrap();
    let entry = index.any(entry.id).unwrap();
    assert_eq!(entry.with_projection(|projection| serde_json::json!(projection.leaf_event_id)), known);
}
