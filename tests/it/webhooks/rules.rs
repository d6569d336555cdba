//! Where a webhook may be, and what is kept from others.

use serde_json::json;
use testing::eventually;
use testing::receiver::{Receiver, Reply};
use testing::server::Start;

use super::{BINARY, all_told, model, telling};

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_leads_elsewhere_is_followed_to_itself_alone() {
    let (receiver, stranger, model) = (Receiver::start().await, Receiver::start().await, model(1).await);
    let elsewhere = format!("{}/taken", stranger.url());
    receiver.answer(move |_| Reply::Elsewhere(elsewhere.clone()));
    let server = telling(Start::new(BINARY).with_key("the session key"), &receiver).start();
    let id = server.client.create(&model.base_url(), "work").await;
    server.client.send(&id, "hello", false).await;
    eventually("it was asked twice", async || (receiver.calls().len() >= 3).then_some(())).await;
    assert!(stranger.calls().is_empty(), "the key is not for others");
    receiver.answer(|call| match call.path.strip_prefix("/moved") {
        Some(_) => Reply::Status(200),
        None => Reply::Elsewhere(format!("/moved{}", call.path)),
    });
    all_told(&server.client, &receiver, &id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_at_a_private_address_is_called_only_where_those_are() {
    let (receiver, model) = (Receiver::start().await, model(1).await);
    let server = telling(Start::new(BINARY).with("OH_PRIVATE_ADDRESSES", "refuse"), &receiver).start();
    server.client.create(&model.base_url(), "work").await;
    if server.is_cluster() {
        return;
    }
    eventually("a call has failed", async || {
        let metrics = server.client.get_ok("/metrics").await;
        metrics
            .as_str()
            .is_some_and(|text| text.contains(r#"webhook_calls_total{kind="failed"}"#))
            .then_some(())
    })
    .await;
    assert!(receiver.calls().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_waits_for_its_settings_is_told_its_webhooks_with_them() {
    let (receiver, model) = (Receiver::start().await, model(1).await);
    let server = Start::new(BINARY).with("OH_DEFERRED_INIT", "true").start();
    if server.is_cluster() {
        return;
    }
    let refused = json!({"webhooks": [{"base_url": "no address"}]});
    let (status, why) = server.client.post("/api/init", &refused).await;
    assert_eq!(status, 422);
    assert!(why["detail"].as_str().unwrap().contains("OH_WEBHOOKS_0_BASE_URL"), "{why}");
    let hook = json!({"base_url": receiver.url(), "event_buffer_size": 1, "flush_delay": 0.2});
    server.client.post_ok("/api/init", &json!({ "webhooks": [hook] })).await;
    let id = server.client.create(&model.base_url(), "work").await;
    server.client.send(&id, "hello", false).await;
    all_told(&server.client, &receiver, &id).await;
}
