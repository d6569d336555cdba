//! Of what a bucket says of one key the last counts, though a replica that lags behind may say something older first.

use manyhands_readmodel::index::Index;
use ports::{Change, Expect};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use types::buckets::CONVERSATIONS;
use types::{ConversationId, TenantId};

use crate::doubles::{World, until};

/// The record as it is now.
async fn stored(world: &World, id: ConversationId) -> Change {
    let entry = world.ports.kv.get(CONVERSATIONS, &id.hex()).await.unwrap().unwrap();
    Change::Put { key: id.hex(), entry }
}

async fn started_anew(world: &World) -> Index {
    Index::start(&world.ports, &TaskTracker::new(), &CancellationToken::new()).await.unwrap()
}

#[tokio::test]
async fn a_deleted_conversation_that_a_replica_still_has_is_gone_after_a_start_and_after_a_lag() {
    let world = World::start().await;
    let deleted = world.conversation().await;
    let (id, key) = (deleted.id, deleted.id.hex());
    let older = stored(&world, id).await;
    world.buckets.be_silent(true);
    world.ports.kv.delete(CONVERSATIONS, &key, Expect::Anything).await.unwrap();
    world.buckets.first_give(vec![older, Change::Deleted { key }]);
    assert!(started_anew(&world).await.any(id).is_none(), "it is back");
    assert!(world.index.any(id).is_some(), "nobody has told of it");
    world.buckets.lag();
    until("it is gone", || world.index.any(id).is_none().then_some(())).await;
}

#[tokio::test]
async fn the_newest_record_counts_whatever_a_replica_has() {
    let world = World::start().await;
    let entry = world.conversation().await;
    let older = stored(&world, entry.id).await;
    let name = |record: &mut types::conversation::ConversationRecord| {
        record.title = Some("named since".to_owned());
        true
    };
    world.index.update(&entry, name).await.unwrap();
    world.buckets.first_give(vec![older]);
    let record = started_anew(&world).await.record(&TenantId::default(), entry.id).unwrap();
    assert_eq!(record.title.as_deref(), Some("named since"));
}
