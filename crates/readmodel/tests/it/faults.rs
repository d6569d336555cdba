//! What breaks is seen, and breaks nothing else.

use std::collections::HashMap;
use std::time::Duration;

use manyhands_readmodel::index::{ConversationState, Created};
use ports::{Error, Expect};
use tokio::time::timeout;
use types::buckets::{CONVERSATIONS, PROJECTIONS};
use types::conversation::ConversationRecord;
use types::{LogId, SandboxId, Seq, TenantId};

use crate::doubles::{World, record, until, until_folded};
use crate::keeping_up::made_elsewhere;

const IN_TIME: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_panic_over_one_conversation_keeps_neither_it_nor_another_from_being_read() {
    let world = World::start().await;
    let (odd, other) = (world.conversation().await, world.conversation().await);
    for conversation in [&odd, &other] {
        world.bus.lose(&conversation.log);
    }
    world.logs.panic_once(&odd.log);
    let (one, two) = (world.append(&odd.log).await, world.append(&other.log).await);
    world.bus.lag();
    until_folded(&other, two).await;
    world.logs.until_asked(&odd.log, |asked| asked.0 > 0).await;
    assert!(!world.drain.is_cancelled());
    world.bus.lag();
    until_folded(&odd, one).await;
}

#[tokio::test]
async fn a_subscription_that_ends_ends_the_server_rather_than_leaving_it_deaf() {
    let world = World::start().await;
    world.bus.end();
    timeout(IN_TIME, world.drain.cancelled()).await.expect("the server ends");
}

#[tokio::test]
async fn what_was_missed_while_the_store_was_away_is_found_when_it_is_back() {
    let world = World::start().await;
    let missed = record(&SandboxId::shared());
    world.buckets.be_silent(true);
    made_elsewhere(&world, &missed).await;
    world.buckets.go_away(true);
    world.buckets.lag();
    let mut refused = world.buckets.refused.subscribe();
    timeout(IN_TIME, refused.wait_for(|refused| *refused > 1)).await.expect("it is asked again").unwrap();
    world.buckets.go_away(false);
    until("the conversation is there", || world.index.any(missed.id)).await;
}

#[tokio::test]
async fn a_log_that_grows_as_fast_as_it_is_read_is_read_to_where_it_ended() {
    let world = World::start().await;
    let entry = world.conversation().await;
    world.bus.lose(&entry.log);
    let seq = world.append(&entry.log).await;
    world.logs.grow(&entry.log);
    timeout(IN_TIME, world.index.catch_up(&entry)).await.expect("it ends").unwrap();
    assert!(entry.seq() >= seq);
}

#[tokio::test]
async fn a_conversation_made_anew_while_the_earlier_one_goes_is_not_passed_over() {
    let world = World::start().await;
    let earlier = world.conversation().await;
    let (id, log) = (earlier.id, earlier.log.clone());
    world.buckets.cling_to(Some(PROJECTIONS));
    let deleting = {
        let index = world.index.clone();
        tokio::spawn(
            async move { index.delete(&TenantId::default(), id, async |_: &_| Ok::<_, Error>(())).await },
        )
    };
    let is_gone = async || world.index.read(id).await.unwrap().is_none();
    while !is_gone().await {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (_, tails) = world.logs.asked(&log);
    let anew =
        ConversationRecord { id, created_at: "2026-11-24T00:00:00.000000Z".into(), ..record(log.sandbox()) };
    made_elsewhere(&world, &anew).await;
    // It was read, and was to be put in.
    world.logs.until_asked(&log, |asked| asked.1 >= tails + 3).await;
    world.buckets.cling_to(None);
    assert!(deleting.await.unwrap().unwrap());
    let entry = until("the later conversation is there", || world.index.any(id)).await;
    assert_eq!(*entry.created_at(), *anew.created_at);
}

#[tokio::test]
async fn a_deletion_that_is_given_up_hides_nothing() {
    let world = World::start().await;
    let entry = world.conversation().await;
    let tenant = TenantId::default();
    let deleting = world.index.delete(&tenant, entry.id, async |_: &_| {
        std::future::pending::<()>().await;
        Ok::<_, Error>(())
    });
    assert!(timeout(Duration::from_millis(50), deleting).await.is_err());
    assert!(world.index.get(&tenant, entry.id).is_some());
    assert!(matches!(world.index.create(&entry.record()).await.unwrap(), Created::Existing(_)));
}

#[tokio::test]
async fn what_was_said_while_a_deletion_that_fails_was_under_way_is_not_missed() {
    let world = World::start().await;
    let entry = world.conversation().await;
    let forget = async |entry: &ConversationState| {
        world.append(&entry.log).await;
        world.settle().await;
        Err(Error::Unavailable("it does not stop writing".to_owned()))
    };
    let deleted: Result<bool, Error> = world.index.delete(&entry.tenant, entry.id, forget).await;
    assert!(deleted.is_err());
    until_folded(&entry, Seq(1)).await;
}

#[tokio::test]
async fn a_deletion_hides_and_forgets_nothing_before_the_store_has_answered() {
    let world = World::start().await;
    let entry = world.conversation().await;
    world.logs.stick(&entry.log);
    let is_forgotten = std::sync::atomic::AtomicBool::new(false);
    let forget = async |_: &ConversationState| {
        is_forgotten.store(true, std::sync::atomic::Ordering::SeqCst);
        Ok::<_, Error>(())
    };
    let meanwhile = async {
        world.logs.until_asked(&entry.log, |asked| asked.1 > 0).await;
        assert!(world.index.get(&entry.tenant, entry.id).is_some(), "it is shown");
        assert!(!is_forgotten.load(std::sync::atomic::Ordering::SeqCst), "its worker goes on");
        world.logs.release(&entry.log);
    };
    let (deleted, ()) = tokio::join!(world.index.delete(&entry.tenant, entry.id, forget), meanwhile);
    assert_eq!(deleted, Ok(true));
    assert!(world.index.get(&entry.tenant, entry.id).is_none());
}

#[tokio::test]
async fn a_deletion_that_waits_for_the_store_takes_no_conversation_made_anew_meanwhile() {
    let world = World::start().await;
    let earlier = world.conversation().await;
    world.logs.stick(&earlier.log);
    let (_, tails) = world.logs.asked(&earlier.log);
    let forget = async |_: &ConversationState| Ok::<_, Error>(());
    let meanwhile = async {
        world.logs.until_asked(&earlier.log, |asked| asked.1 > tails).await;
        world.ports.kv.delete(CONVERSATIONS, &earlier.id.hex(), Expect::Anything).await.unwrap();
        let created_at = "2026-11-24T00:00:00.000000Z".into();
        // In another sandbox, whose log answers.
        let sandbox = SandboxId::parse("other").unwrap();
        let anew = ConversationRecord { id: earlier.id, created_at, ..record(&sandbox) };
        assert!(matches!(world.index.create(&anew).await.unwrap(), Created::New(_)));
        world.logs.release(&earlier.log);
        anew
    };
    let (deleted, anew) = tokio::join!(world.index.delete(&earlier.tenant, earlier.id, forget), meanwhile);
    assert_eq!(deleted, Ok(false));
    assert!(world.index.read(anew.id).await.unwrap().is_some());
    assert_eq!(*world.index.any(anew.id).unwrap().created_at(), *anew.created_at);
}

#[tokio::test]
async fn a_deletion_goes_on_when_a_store_that_was_away_is_back() {
    let world = World::start().await;
    let entry = world.conversation().await;
    world.buckets.go_away(true);
    let deleting = {
        let (index, id) = (world.index.clone(), entry.id);
        tokio::spawn(
            async move { index.delete(&TenantId::default(), id, async |_: &_| Ok::<_, Error>(())).await },
        )
    };
    let mut refused = world.buckets.refused.subscribe();
    timeout(IN_TIME, refused.wait_for(|refused| *refused > 0)).await.expect("it is asked").unwrap();
    world.buckets.go_away(false);
    assert_eq!(deleting.await.unwrap(), Ok(true));
    assert!(world.index.read(entry.id).await.unwrap().is_none());
}

#[tokio::test]
async fn a_part_of_the_store_that_is_away_keeps_nobody_else_behind() {
    let world = World::start().await;
    let mut missed = Vec::new();
    for number in 0..80 {
        let entry = world.conversation().await;
        world.bus.lose(&entry.log);
        let seq = world.append(&entry.log).await;
        if number % 2 == 0 { world.logs.go_away(&entry.log) } else { missed.push((entry, seq)) }
    }
    world.bus.lag();
    for (entry, seq) in missed {
        until_folded(&entry, seq).await;
    }
}

#[tokio::test]
async fn looking_for_what_was_missed_keeps_nobody_waiting_who_was_told_of_something() {
    let world = World::start().await;
    for _ in 0..320 {
        let entry = world.conversation().await;
        world.logs.stick(&entry.log);
    }
    let tails = |asked: &HashMap<LogId, (usize, usize)>| asked.values().map(|asked| asked.1).sum::<usize>();
    let mut asked = world.logs.asked.subscribe();
    let before = tails(&asked.borrow());
    world.bus.lag();
    let is_looked = |asked: &HashMap<_, _>| tails(asked) >= before + 16;
    timeout(IN_TIME, asked.wait_for(is_looked)).await.expect("it is looked for").unwrap();
    let other = record(&SandboxId::shared());
    made_elsewhere(&world, &other).await;
    until("the other conversation is there", || world.index.any(other.id)).await;
}

#[tokio::test]
async fn conversations_whose_part_of_the_store_is_away_keep_no_other_from_being_taken_in() {
    let world = World::start().await;
    for _ in 0..40 {
        let taken_in = record(&SandboxId::shared());
        world.logs.stick(&LogId::conversation(&taken_in.sandbox, taken_in.id));
        made_elsewhere(&world, &taken_in).await;
    }
    let other = record(&SandboxId::shared());
    made_elsewhere(&world, &other).await;
    until("the other conversation is there", || world.index.any(other.id)).await;
}

#[tokio::test]
async fn what_is_meant_for_a_conversation_changes_no_later_one_with_its_id() {
    let world = World::start().await;
    let earlier = world.conversation().await;
    let deleted = world.index.delete(&earlier.tenant, earlier.id, async |_: &_| Ok::<_, Error>(())).await;
    assert!(deleted.unwrap());
    let anew = ConversationRecord {
        id: earlier.id,
        tenant: TenantId::parse("other").unwrap(),
        created_at: "2026-11-24T00:00:00.000000Z".into(),
        ..record(&SandboxId::shared())
    };
    assert!(matches!(world.index.create(&anew).await.unwrap(), Created::New(_)));
    let renamed = world.index.update(&earlier, |record| {
        record.title = Some("of the earlier one".to_owned());
        true
    });
    assert_eq!(renamed.await, Err(Error::NotFound));
    assert_eq!(world.index.read(anew.id).await.unwrap().unwrap().title, None);
}

#[tokio::test]
async fn children_are_those_of_the_same_tenant_and_leave_nothing_behind() {
    let world = World::start().await;
    let parent = world.conversation().await;
    let child = |tenant: &str| ConversationRecord {
        tenant: TenantId::parse(tenant).unwrap(),
        parent_conversation_id: Some(parent.id),
        ..record(&SandboxId::shared())
    };
    let (own, others) = (child("default"), child("other"));
    for record in [&own, &others] {
        world.index.create(record).await.unwrap();
    }
    assert_eq!(world.index.children_of(parent.id), [own.id]);
    world.index.delete(&own.tenant, own.id, async |_: &_| Ok::<_, Error>(())).await.unwrap();
    assert_eq!(world.index.children_of(parent.id), []);
    let log = LogId::conversation(&own.sandbox, own.id);
    assert_eq!(world.ports.log.tail(&log).await.unwrap(), types::Seq::ZERO);
}

/// What another gateway does: its deletion comes first, and the id is used again.
async fn made_anew_elsewhere(world: &World, earlier: &ConversationState) -> ConversationRecord {
    world.ports.log.delete(&earlier.log).await.unwrap();
    world.ports.kv.delete(CONVERSATIONS, &earlier.id.hex(), Expect::Anything).await.unwrap();
    let created_at = "2026-11-24T00:00:00.000000Z".into();
    let anew = ConversationRecord { id: earlier.id, created_at, ..record(earlier.log.sandbox()) };
    made_elsewhere(world, &anew).await;
    world.append(&earlier.log).await;
    anew
}

#[tokio::test]
async fn a_deletion_that_is_late_removes_nothing_of_a_conversation_made_anew_elsewhere() {
    let world = World::start().await;
    let earlier = world.conversation().await;
    let forget = async |entry: &ConversationState| {
        made_anew_elsewhere(&world, entry).await;
        Ok::<_, Error>(())
    };
    assert_eq!(world.index.delete(&earlier.tenant, earlier.id, forget).await, Ok(true));
    assert_ne!(world.ports.log.tail(&earlier.log).await.unwrap(), Seq::ZERO);
    let anew = world.index.read(earlier.id).await.unwrap().expect("its record is there");
    let entry = until("the later conversation is shown", || world.index.any(anew.id)).await;
    assert_eq!(*entry.created_at(), *anew.created_at);
}

#[tokio::test]
async fn who_creates_is_not_told_of_a_conversation_that_was_deleted_elsewhere() {
    let world = World::start().await;
    let earlier = world.conversation().await;
    world.buckets.be_silent(true);
    let anew = made_anew_elsewhere(&world, &earlier).await;
    assert!(world.index.get_stored(&earlier.tenant, earlier.id).await.unwrap().is_none());
    let Created::Existing(entry) = world.index.create(&anew).await.unwrap() else { panic!("it is there") };
    assert_eq!(*entry.created_at(), *anew.created_at);
    world.ports.kv.delete(CONVERSATIONS, &anew.id.hex(), Expect::Anything).await.unwrap();
    assert!(world.index.get_stored(&anew.tenant, anew.id).await.unwrap().is_none());
    assert!(matches!(world.index.create(&anew).await.unwrap(), Created::New(_)));
}
