//! Where what is told begins and ends: hooks that come later, conversations that go.

use testing::eventually;
use testing::history::id_of;
use testing::receiver::{Receiver, Reply};
use testing::server::Start;

use super::{BINARY, finished, infos, model, telling, told, told_first};

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_told_of_older_conversations_what_happens_from_then_on() {
    let (receiver, model) = (Receiver::start().await, model(2).await);
    let start = Start::new(BINARY);
    let mut server = start.clone().start();
    let id = finished(&server.client, &model, server.project()).await;
    let resting = finished(&server.client, &model, server.project()).await;
    let before = server.client.events(&id).await.len();
    if server.is_cluster() {
        // Its settings cannot be changed.
        return;
    }
    assert!(server.terminate().success());
    let server = telling(start, &receiver).start();
    server.client.send(&id, "after that", false).await;
    let stored: Vec<String> = server.client.events(&id).await.iter().map(id_of).collect();
    let is_last = || told_first(&receiver, &id).last() == stored.last();
    eventually("the new ones are told", async || is_last().then_some(())).await;
    let told_ids = told_first(&receiver, &id);
    assert_eq!(told_ids, stored[before..], "and none of the older ones");
    eventually("it is told itself", async || (!infos(&receiver, &id).is_empty()).then_some(())).await;
    assert!(told(&receiver, &resting).is_empty() && infos(&receiver, &resting).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_told_when_a_conversation_is_deleted_is_told_afterwards_also_over_a_kill() {
    let (receiver, model) = (Receiver::start().await, model(3).await);
    let mut server = telling(Start::new(BINARY), &receiver).start();
    receiver.answer(|_| Reply::Status(503));
    let id = finished(&server.client, &model, server.project()).await;
    let stored: Vec<String> = server.client.events(&id).await.iter().map(id_of).collect();
    assert!(server.client.delete(&format!("/api/conversations/{id}")).await.0.is_success());
    server = server.killed_and_restarted();
    assert!(told(&receiver, &id).is_empty());
    receiver.answer(|_| Reply::Status(200));
    let last = eventually("it is told that it went", async || infos(&receiver, &id).pop()).await;
    assert_eq!(last["execution_status"], "deleting");
    assert_eq!(told_first(&receiver, &id), stored);
    assert!(!server.client.get(&format!("/api/conversations/{id}")).await.0.is_success());
}
