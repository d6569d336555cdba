//! Events over REST.

use std::time::Instant;

use crate::harness::events::{agent_message, finish, update, user_message};
use crate::harness::{Server, start};
use reqwest::Method;
use serde_json::{Value, json};
use types::ConversationId;

fn id_of(text: &str) -> ConversationId {
    text.parse().unwrap()
}

/// A conversation with these events.
async fn with_events(server: &Server, events: Vec<Value>) -> String {
    let id = server.create().await;
    let wanted = events.len();
    server.worker.append_events(id_of(&id), events, 100).await;
    let count = format!("/api/conversations/{id}/events/count");
    crate::harness::until(async || server.get(&count).await.1 == wanted).await;
    id
}

fn stamped(i: usize, mut event: Value) -> Value {
    event["timestamp"] = format!("2026-11-23T00:00:{:02}.{:06}", i / 1_000, i % 1_000).into();
    event
}

fn mixed(count: usize) -> Vec<Value> {
    let one = |i: usize| match i % 4 {
        0 => user_message(
            json!({"role": "user", "content": [{"type": "text", "text": format!("Question {i}")}]}),
        ),
        1 => update("execution_status", json!("running")),
        2 => agent_message(&format!("Answer {i}")),
        _ => finish("done"),
    };
    (0..count).map(|i| stamped(i, one(i))).collect()
}

async fn pages(server: &Server, id: &str, query: &str) -> Vec<Value> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/api/conversations/{id}/events/search?{query}{cursor}");
        let (status, page) = server.get(&path).await;
        assert_eq!(status, 200, "{page}");
        all.extend(page["items"].as_array().unwrap().iter().cloned());
        let Some(next) = page["next_page_id"].as_str() else { return all };
        cursor = format!("&page_id={next}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_hold_every_event_once_as_it_was_stored_in_both_orders() {
    let server = start().await;
    let events = mixed(23);
    let id = with_events(&server, events.clone()).await;
    for limit in [1, 3, 23, 100] {
        assert_eq!(pages(&server, &id, &format!("limit={limit}")).await, events);
        let mut newest_first = pages(&server, &id, &format!("limit={limit}&sort_order=TIMESTAMP_DESC")).await;
        newest_first.reverse();
        assert_eq!(newest_first, events);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn filters_choose_and_count_alike() {
    let server = start().await;
    let events = mixed(40);
    let id = with_events(&server, events.clone()).await;
    let of = |wanted: &dyn Fn(usize, &Value) -> bool| -> Vec<Value> {
        events.iter().enumerate().filter(|(i, e)| wanted(*i, e)).map(|(_, e)| e.clone()).collect()
    };
    let cases = [
        ("kind=ActionEvent", of(&|i, _| i % 4 == 3)),
        ("kind=openhands.sdk.event.llm_convertible.action.ActionEvent", of(&|i, _| i % 4 == 3)),
        ("kind=NoSuchKind", vec![]),
        ("source=user", of(&|i, _| i % 4 == 0)),
        ("source=hook", vec![]),
        ("body=QUESTION%201", of(&|_, e| e.to_string().contains("Question 1"))),
        ("body=done", vec![]),
        ("timestamp__gte=2026-11-23T00:00:00.000010", of(&|i, _| i >= 10)),
        ("timestamp__lt=2026-11-23T00:00:00.000010", of(&|i, _| i < 10)),
        (
            "source=agent&timestamp__gte=2026-11-23T00:00:00.000030&kind=MessageEvent",
            of(&|i, _| i >= 30 && i % 4 == 2),
        ),
    ];
    for (query, wanted) in cases {
        assert_eq!(pages(&server, &id, &format!("{query}&limit=3")).await, wanted, "{query}");
        let (_, count) = server.get(&format!("/api/conversations/{id}/events/count?{query}")).await;
        assert_eq!(count, wanted.len(), "{query}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_names_the_next_match_and_an_unknown_one_starts_over() {
    let server = start().await;
    let events = mixed(12);
    let id = with_events(&server, events.clone()).await;
    let at = |query: &str| format!("/api/conversations/{id}/events/search?{query}");
    let (_, page) = server.get(&at("kind=ActionEvent&limit=2")).await;
    assert_eq!(page["next_page_id"], events[11]["id"]);
    let (_, page) = server.get(&at("limit=1&page_id=unknown")).await;
    assert_eq!(page["items"][0], events[0]);
    let (_, page) = server.get(&at("limit=12")).await;
    assert_eq!(page["next_page_id"], Value::Null);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_queries_are_refused_with_their_place() {
    let server = start().await;
    let id = server.create().await;
    for (query, place) in [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=x", "limit"),
        ("sort_order=x", "sort_order"),
        ("timestamp__gte=yesterday", "timestamp__gte"),
        ("source=nobody", "source"),
    ] {
        let (status, answer) = server.get(&format!("/api/conversations/{id}/events/search?{query}")).await;
        assert_eq!((status, &answer["detail"][0]["loc"][1]), (422, &json!(place)), "{query} {answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_event_is_answered_with_its_nulls_and_an_unknown_one_is_404() {
    let server = start().await;
    let events = mixed(4);
    let id = with_events(&server, events.clone()).await;
    let at = |event: &str| format!("/api/conversations/{id}/events/{event}");
    let (status, message) = server.get(&at(events[0]["id"].as_str().unwrap())).await;
    assert_eq!((status, &message["parent_id"], &message["sender"]), (200, &Value::Null, &Value::Null));
    assert!(message.as_object().unwrap().contains_key("llm_response_id"));
    assert_eq!(server.get(&at("nope")).await.0, 404);

    let path = format!("/api/conversations/{id}/events");
    let wanted = json!([events[3]["id"], "nope", events[0]["id"]]);
    let (status, batch) = server.send(Method::GET, &path, Some(&wanted)).await;
    assert_eq!((status, &batch[0]["id"], &batch[1]), (200, &events[3]["id"], &Value::Null));
    assert_eq!(batch[2], message);
    assert_eq!(server.send(Method::GET, &path, None).await.0, 422);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_batch_of_events_is_larger_than_an_answer_may_be() {
    let server = start().await;
    let mut event = mixed(1).remove(0);
    event["id"] = json!("large");
    event["filler"] = json!("x".repeat(3 << 20));
    let id = with_events(&server, vec![event.clone()]).await;
    let path = format!("/api/conversations/{id}/events");
    let batch =
        async |times: usize| server.send(Method::GET, &path, Some(&json!(vec!["large"; times]))).await;
    assert_eq!(
        batch(2).await,
        (200, json!([event, event])),
        "what is larger than any event is not looked into"
    );
    let (status, answer) = batch(30).await;
    assert_eq!(status, 413, "{}", answer["detail"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_is_read_back_at_once_and_only_users_send_them() {
    let server = start().await;
    let id = server.create().await;
    for (i, body) in [
        json!({}),
        json!({"role": "user", "content": []}),
        json!({"content": [{"type": "text", "text": "x"}]}),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(
            server.post(&format!("/api/conversations/{id}/events"), body).await,
            (200, json!({"success": true}))
        );
        let (_, count) = server.get(&format!("/api/conversations/{id}/events/count?kind=MessageEvent")).await;
        assert_eq!(count, i + 1);
    }
    for body in [
        json!({"role": "assistant", "content": []}),
        json!({"role": "nobody"}),
        json!({"content": "a text"}),
        json!({"content": [{"type": "video", "url": "x"}]}),
        json!({"content": [{"type": "text"}]}),
    ] {
        assert_eq!(
            server.post(&format!("/api/conversations/{id}/events"), body.clone()).await.0,
            422,
            "{body}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consent_starts_a_run_and_refusal_does_not() {
    let server = start().await;
    let id = server.create().await;
    let path = format!("/api/conversations/{id}/events/respond_to_confirmation");
    assert_eq!(server.post(&path, json!({})).await.0, 422);
    assert_eq!(server.post(&path, json!({"accept": false})).await, (200, json!({"success": true})));
    assert_eq!(server.info(&id).await["execution_status"], "idle");
    assert_eq!(server.post(&path, json!({"accept": true})).await, (200, json!({"success": true})));
    server.until_status(&id, "finished").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_history_is_paged_without_reading_it_all_for_each_page() {
    let server = start().await;
    let id = with_events(&server, mixed(5_000)).await;
    let (mut cursor, mut seen, mut first) = (String::new(), 0, None);
    let begun = Instant::now();
    loop {
        let (_, page) = server.get(&format!("/api/conversations/{id}/events/search?limit=100{cursor}")).await;
        first.get_or_insert_with(|| begun.elapsed());
        seen += page["items"].as_array().unwrap().len();
        let Some(next) = page["next_page_id"].as_str() else { break };
        cursor = format!("&page_id={next}");
    }
    let all = begun.elapsed();
    println!("first page {first:?}, 5,000 events {all:?}");
    assert_eq!(seen, 5_000);
    assert!(all.as_secs() < 5, "{all:?}");
}
