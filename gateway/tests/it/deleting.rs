//! A conversation is deleted once nobody can write any more what is to go.

use std::time::Duration;

use control::placement::Policy;
use reqwest::Method;
use tokio::time::timeout;
use types::ConversationId;
use types::buckets::CONVERSATIONS;
use types::calls::Survivors;

use crate::harness::cluster::create_body;
use crate::harness::start;
use crate::harness::stepped::idle;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_is_deleted_only_once_its_worker_writes_no_more() {
    let server = start().await;
    let id = server.create().await;
    server.say(&id, "hi", false).await;
    let path = format!("/api/conversations/{id}");
    server.worker.script(|script| script.clings = true);
    assert_eq!(server.send(Method::DELETE, &path, None).await.0, 503);
    assert_eq!(
        server.get(&format!("{path}/events/search?kind=MessageEvent")).await.0,
        200,
        "it is all there"
    );

    server.worker.script(|script| script.clings = false);
    assert_eq!(server.send(Method::DELETE, &path, None).await.0, 200);
    assert_eq!(server.get(&path).await.0, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_is_told_which_of_its_conversations_there_are_still() {
    let server = start().await;
    let (stays, goes) = (server.create().await, server.create().await);
    assert_eq!(server.send(Method::DELETE, &format!("/api/conversations/{goes}"), None).await.0, 200);
    let [stays, goes] = [stays, goes].map(|id| id.parse::<ConversationId>().unwrap());
    let asked = vec![goes, stays, ConversationId::random()];
    let Survivors { folder, conversations } = server.worker.survivors(asked).await;
    assert_eq!(conversations, [stays]);
    let info = server.info(&stays.to_string()).await;
    assert_eq!(info["persistence_dir"], format!("{folder}/{}", stays.hex()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_whose_worker_is_gone_can_be_deleted() {
    let server = start().await;
    let id = server.create().await;
    server.worker.stop();
    let path = format!("/api/conversations/{id}");
    assert_eq!(server.send(Method::DELETE, &path, None).await.0, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_beside_another_one_waits_for_it_and_says_what_is_so_then() {
    let (world, store) = idle(Policy::Shared).await;
    let gateway = world.gateway();
    let id = gateway.create_from(create_body("/tmp/w")).await;
    let path = format!("/api/conversations/{id}");
    let stopped = store.stop_before(CONVERSATIONS, &id.parse::<ConversationId>().unwrap().hex());
    let second = async {
        let mut second = Box::pin(gateway.delete(&path));
        let waiting = async {
            let answered = timeout(SECOND, &mut second).await;
            assert!(answered.is_err(), "nobody knows yet whether it goes: {answered:?}");
        };
        stopped.meanwhile(waiting).await;
        second.await
    };
    let (first, second) = tokio::join!(gateway.delete(&path), second);
    assert_eq!((first.0, second.0), (200, 404));
}
