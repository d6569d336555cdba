//! Webhooks that are slow, refuse, or are away: who waits for them is nobody else.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write;
use std::time::Instant;

use testing::eventually;
use testing::history::id_of;
use testing::receiver::{Receiver, Reply};
use testing::server::Start;

use crate::small_disk::SmallDisk;

use super::{BINARY, all_told, finished, hex, hook, infos, model, telling, told};

#[tokio::test(flavor = "multi_thread")]
async fn what_a_webhook_does_not_take_is_told_again_until_it_does() {
    let (receiver, model) = (Receiver::start().await, model(4).await);
    let mut tries: HashMap<String, usize> = HashMap::new();
    receiver.answer(move |call| {
        let tries = tries.entry(call.path.clone()).or_default();
        *tries += 1;
        Reply::Status(if tries.is_multiple_of(3) { 200 } else { 503 })
    });
    let server = telling(Start::new(BINARY), &receiver).with("OH_WEBHOOKS_0_NUM_RETRIES", "5").start();
    let id = finished(&server.client, &model, server.project()).await;
    all_told(&server.client, &receiver, &id).await;
    let ids: Vec<String> = told(&receiver, &id).iter().map(id_of).collect();
    let stored: Vec<String> = server.client.events(&id).await.iter().map(id_of).collect();
    assert_eq!(ids, stored, "what was taken is not told again");
    eventually("it is told itself", async || (!infos(&receiver, &id).is_empty()).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn c5_a_webhook_that_never_answers_slows_no_run_and_no_other_webhook() {
    let (silent, receiver, model) = (Receiver::start().await, Receiver::start().await, model(10).await);
    silent.answer(|_| Reply::Never);
    let start = hook(telling(Start::new(BINARY), &silent), 1, &receiver.url());
    let server = start.start();
    let begun = Instant::now();
    let id = finished(&server.client, &model, server.project()).await;
    assert!(begun.elapsed().as_secs() < 15, "it took {:?}", begun.elapsed());
    all_told(&server.client, &receiver, &id).await;
    assert!(!silent.calls().is_empty() && told(&silent, &id).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_that_a_webhook_refuses_holds_up_no_other_and_is_told_when_it_is_taken() {
    let (receiver, model) = (Receiver::start().await, model(3).await);
    let server = telling(Start::new(BINARY), &receiver).start();
    let refused = server.client.create(&model.base_url(), "work").await;
    let path = format!("/events/{}", hex(&refused));
    receiver.answer(move |call| Reply::Status(if call.path == path { 400 } else { 200 }));
    server.client.send(&refused, "no", false).await;
    for _ in 0..3 {
        let id = finished(&server.client, &model, server.project()).await;
        all_told(&server.client, &receiver, &id).await;
    }
    assert!(told(&receiver, &refused).is_empty());
    receiver.answer(|_| Reply::Status(200));
    all_told(&server.client, &receiver, &refused).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_takes_no_conversations_is_told_events_and_the_other_way_round() {
    for refused in ["/conversations", "/events/"] {
        let (receiver, model) = (Receiver::start().await, model(1).await);
        receiver.answer(move |call| Reply::Status(if call.path.contains(refused) { 404 } else { 200 }));
        let server = telling(Start::new(BINARY), &receiver).start();
        for _ in 0..12 {
            let id = server.client.create(&model.base_url(), "work").await;
            server.client.send(&id, "hello", false).await;
            match refused {
                "/conversations" => all_told(&server.client, &receiver, &id).await,
                _ => {
                    eventually("it is told", async || (!infos(&receiver, &id).is_empty()).then_some(())).await
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_is_deleted_on_a_disk_without_room_for_what_a_webhook_was_not_told() {
    let (receiver, model) = (Receiver::start().await, model(1).await);
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(&folder.path().join("disk"), "48m") else {
        testing::may_skip("the full disk of a webhook", "mounting a small file system needs root");
        return;
    };
    receiver.answer(|_| Reply::Status(503));
    let start = telling(Start::new(BINARY), &receiver);
    let data = disk.0.join("conversations").display().to_string();
    let server = start.with("OH_CONVERSATIONS_PATH", &data).start_alone();
    let id = server.client.create(&model.base_url(), "work").await;
    for _ in 0..12 {
        server.client.send(&id, &"x".repeat(10 << 10), false).await;
    }
    let mut ballast = File::create(disk.0.join("ballast")).unwrap();
    while ballast.write_all(&[0; 64 << 10]).is_ok() {}
    ballast.set_len(ballast.metadata().unwrap().len() - (1 << 20)).unwrap();
    let path = format!("/api/conversations/{id}");
    let (status, answer) = server.client.delete(&path).await;
    assert!(status.is_success(), "{status} {answer}");
    assert_eq!(server.client.get(&path).await.0, 404);
    let metrics = server.client.get_ok("/metrics").await;
    assert!(metrics.as_str().unwrap().contains(r#"webhook_calls_total{kind="given_up"} 1"#), "{metrics}");
    receiver.answer(|_| Reply::Status(200));
    let last = eventually("it is told that it went", async || infos(&receiver, &id).pop()).await;
    assert_eq!((&last["execution_status"], told(&receiver, &id)), (&"deleting".into(), Vec::new()));
}
