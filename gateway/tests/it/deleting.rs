//! A conversation is deleted once nobody can write any more what is to go.

use crate::kit::start;
use reqwest::Method;

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
async fn a_conversation_whose_worker_is_gone_can_be_deleted() {
    let server = start().await;
    let id = server.create().await;
    server.worker.stop().await;
    let path = format!("/api/conversations/{id}");
    assert_eq!(server.send(Method::DELETE, &path, None).await.0, 200);
}
