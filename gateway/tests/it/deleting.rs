//! A conversation is deleted once nobody can write any more what is to go.

use crate::harness::start;
use reqwest::Method;
use types::ConversationId;
use types::calls::Survivors;

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
