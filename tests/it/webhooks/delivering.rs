//! What is told, and that all of it is.

use reqwest::Method;
use serde_json::{Value, json};
use testing::eventually;
use testing::history::id_of;
use testing::random::Random;
use testing::receiver::{Receiver, Reply};
use testing::server::Start;

use super::{BINARY, all_told, begun, finished, hex, hook, infos, model, telling, told};

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_told_all_events_once_in_order_with_the_key_and_in_small_calls() {
    let (receiver, model) = (Receiver::start().await, model(5).await);
    let start = Start::new(BINARY).with_key("the session key").with("OH_SESSION_API_KEYS_1", "another key");
    let start = hook(start, 0, &format!("{}/base/", receiver.url()));
    let server = start.with("OH_WEBHOOKS_0_HEADERS", r#"{"X-Of-Mine": "something"}"#).start();
    let id = finished(&server.client, &model, server.project()).await;
    all_told(&server.client, &receiver, &id).await;
    let stored: Vec<String> = server.client.events(&id).await.iter().map(id_of).collect();
    let told: Vec<String> = told(&receiver, &id).iter().map(id_of).collect();
    assert_eq!(told, stored, "each is told once where nothing fails");
    for call in receiver.calls() {
        assert_eq!(call.header("x-session-api-key"), Some("the session key"));
        assert_eq!(call.header("x-of-mine"), Some("something"));
        assert_eq!(call.header("content-type"), Some("application/json"));
        match call.body.as_array() {
            Some(events) => {
                assert_eq!(call.path, format!("/base/events/{}", hex(&id)));
                assert!((1..=4).contains(&events.len()), "{} events", events.len());
            }
            None => assert_eq!((call.path.as_str(), &call.body["id"]), ("/base/conversations", &json!(id))),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_told_events_as_clients_see_them_and_the_whole_state_first() {
    let (receiver, model) = (Receiver::start().await, model(1).await);
    let server = telling(Start::new(BINARY), &receiver).start();
    let id = finished(&server.client, &model, server.project()).await;
    all_told(&server.client, &receiver, &id).await;
    for event in told(&receiver, &id) {
        let path = format!("/api/conversations/{id}/events/{}", id_of(&event));
        assert_eq!(event, server.client.get_ok(&path).await);
    }
    let first = receiver.calls().into_iter().find(|call| call.body.is_array()).unwrap();
    assert_eq!((&first.body[0]["key"], &first.body[0]["value"]["id"]), (&json!("full_state"), &json!(id)));
    let all = receiver.calls().iter().map(|call| call.body.to_string()).collect::<String>();
    assert!(!all.contains("llm-key"), "secrets are masked");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_wait_for_others_until_there_are_enough_or_their_time_has_come() {
    let (receiver, model) = (Receiver::start().await, model(1).await);
    let start = telling(Start::new(BINARY), &receiver).with("OH_WEBHOOKS_0_FLUSH_DELAY", "1.5");
    let server = start.with("OH_WEBHOOKS_0_EVENT_BUFFER_SIZE", "6").start();
    let id = server.client.create(&model.base_url(), "work").await;
    for text in ["one", "two"] {
        server.client.send(&id, text, false).await;
    }
    all_told(&server.client, &receiver, &id).await;
    let calls = receiver.calls().into_iter().filter(|call| call.body.is_array()).count();
    assert_eq!(calls, 1, "they have waited for each other");
    let before = std::time::Instant::now();
    let texts: Vec<String> = (0..12).map(|i| format!("more {i}")).collect();
    for text in &texts {
        server.client.send(&id, text, false).await;
    }
    eventually("full calls do not wait", async || {
        receiver
            .calls()
            .iter()
            .any(|call| call.body.as_array().is_some_and(|events| events.len() == 6))
            .then_some(())
    })
    .await;
    println!("a full call came after {:?}", before.elapsed());
    all_told(&server.client, &receiver, &id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_told_of_a_conversation_when_it_is_made_changed_paused_and_deleted() {
    let (receiver, model) = (Receiver::start().await, model(1).await);
    model.add(testing::script::Script::new(
        "[[long]]",
        vec![testing::script::Turn::terminal("c", "sleep 1000")],
    ));
    let server = telling(Start::new(BINARY), &receiver).start();
    let id = server.client.create(&model.base_url(), "work").await;
    let path = format!("/api/conversations/{id}");
    let next = async |what: &str, is_it: &dyn Fn(&Value) -> bool| {
        eventually(what, async || infos(&receiver, &id).last().filter(|info| is_it(info)).cloned()).await
    };
    let made = next("it is made", &|_| true).await;
    let mut shown = server.client.get_ok(&path).await;
    shown["runtime_info"] = Value::Null;
    for field in ["id", "workspace", "execution_status", "created_at", "sub_conversation_ids", "tags"] {
        assert_eq!(made[field], shown[field], "{field}");
    }
    server.client.patch(&path, &json!({"title": "Another"})).await;
    next("it has a title", &|info| info["title"] == "Another").await;
    server.client.patch(&path, &json!({"tags": {"a": "b"}})).await;
    next("it has tags", &|info| info["tags"] == json!({"a": "b"})).await;
    server.client.send(&id, "Wait. [[long]]", true).await;
    server.client.wait_for_status(&id, "running").await;
    server.client.post_ok(&format!("{path}/interrupt"), &json!({})).await;
    next("it is interrupted", &|info| info["execution_status"] == "paused").await;
    let before = infos(&receiver, &id).len();
    assert_eq!(server.client.request(Method::DELETE, &path).send().await.unwrap().status(), 200);
    next("it is deleted", &|info| info["execution_status"] == "deleting").await;
    assert_eq!(infos(&receiver, &id).len(), before + 1);
    let buckets = server.folder().join("workspace/.manyhands/kv");
    if !server.is_cluster() {
        eventually("nothing is kept of it", async || {
            let names = ["WEBHOOKS", "WEBHOOK_ENDS"].map(|bucket| std::fs::read_dir(buckets.join(bucket)));
            let names = names.into_iter().flatten().flatten().flatten();
            let is_left = |name: String| name.contains(&hex(&id));
            (!names.map(|entry| entry.file_name().to_string_lossy().into_owned()).any(is_left)).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_loses_no_event_for_a_webhook_and_keeps_their_order() {
    let (receiver, model) = (Receiver::start().await, model(20).await);
    let mut server = telling(Start::new(BINARY), &receiver).start();
    let mut random = Random::seeded();
    let mut all = Vec::new();
    for _ in 0..5 {
        let id = begun(&server.client, &model, server.project()).await;
        let enough = 1 + random.below(30) as usize;
        eventually("some are told", async || (told(&receiver, &id).len() >= enough.min(12)).then_some(()))
            .await;
        tokio::time::sleep(std::time::Duration::from_millis(random.below(100))).await;
        server = server.killed_and_restarted();
        all.push(id);
    }
    for id in all {
        all_told(&server.client, &receiver, &id).await;
        eventually("it is told itself", async || (!infos(&receiver, &id).is_empty()).then_some(())).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_is_told_when_a_server_stops() {
    let (receiver, model) = (Receiver::start().await, model(1).await);
    let start = telling(Start::new(BINARY), &receiver).with("OH_WEBHOOKS_0_FLUSH_DELAY", "1000");
    let mut server = start.with("OH_WEBHOOKS_0_EVENT_BUFFER_SIZE", "100").start();
    if server.is_cluster() {
        // Others go on.
        return;
    }
    let id = server.client.create(&model.base_url(), "work").await;
    server.client.send(&id, "only this", false).await;
    eventually("it is made", async || (!infos(&receiver, &id).is_empty()).then_some(())).await;
    assert!(told(&receiver, &id).is_empty());
    assert!(server.terminate().success());
    assert!(told(&receiver, &id).iter().any(|event| event.to_string().contains("only this")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_webhook_has_taken_from_a_server_that_is_killed_then_is_told_again_and_nothing_is_missed() {
    let (receiver, model) = (Receiver::start().await, model(8).await);
    let server = telling(Start::new(BINARY), &receiver).start();
    if server.is_cluster() {
        // The one that tells may be another process.
        return;
    }
    let (pid, mut calls) = (server.pid().to_string(), 0);
    receiver.answer(move |call| {
        calls += usize::from(call.path.contains("/events/"));
        if calls == 3 {
            // It is taken, and the server does not live to see that.
            let killed = std::process::Command::new("kill").args(["-9", &pid]).status();
            assert!(killed.unwrap().success());
        }
        Reply::Status(200)
    });
    let id = begun(&server.client, &model, server.project()).await;
    let with_events = || receiver.calls().into_iter().filter(|call| call.body.is_array()).collect::<Vec<_>>();
    eventually("the third call", async || (with_events().len() == 3).then_some(())).await;
    receiver.answer(|_| Reply::Status(200));
    let taken: Vec<String> = with_events()[2].body.as_array().unwrap().iter().map(id_of).collect();
    let server = server.killed_and_restarted();
    all_told(&server.client, &receiver, &id).await;
    let told: Vec<String> = told(&receiver, &id).iter().map(id_of).collect();
    for event in taken {
        assert_eq!(told.iter().filter(|told| **told == event).count(), 2, "{event} was not noted");
    }
}
