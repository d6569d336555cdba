//! The sockets of a conversation.

use std::time::Duration;

use crate::harness::events::agent_message;
use crate::harness::{is_snapshot, start, start_keyed, start_with};
use serde_json::{Value, json};
use testing::socket::Socket;
use types::ConversationId;
use types::calls::{DeltaKind, Live};
use vault::Keys;

fn id_of(text: &str) -> ConversationId {
    text.parse().unwrap()
}

fn numbered(from: usize, to: usize) -> Vec<Value> {
    (from..to).map(|i| agent_message(&format!("number {i}"))).collect()
}

/// As `assert_eq`, for lists too long to print.
fn assert_same(seen: &[Value], wanted: &[Value]) {
    let differs = seen.iter().zip(wanted).position(|(seen, wanted)| seen != wanted);
    assert_eq!((differs, seen.len()), (None, wanted.len()));
}

fn ids(frames: &[Value]) -> Vec<Value> {
    frames.iter().filter(|frame| !is_snapshot(frame)).map(|frame| frame["id"].clone()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_frame_is_a_snapshot_without_nulls_and_without_secrets() {
    let server = start().await;
    let id = server.create().await;
    let mut socket = server.socket(&format!("/sockets/events/{id}")).await;
    let frame = socket.next().await;
    assert_eq!(
        (&frame["kind"], &frame["key"]),
        (&json!("ConversationStateUpdateEvent"), &json!("full_state"))
    );
    assert_eq!(frame["source"], "environment");
    assert!(frame["id"].is_string() && frame["timestamp"].is_string());
    let state = &frame["value"];
    assert_eq!(state["agent"]["llm"]["api_key"], "**********");
    assert!(state["agent"]["llm"].get("aws_session_token").is_none());
    let mut names: Vec<_> = state.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    let wanted = [
        "activated_knowledge_skills",
        "activated_path_rules",
        "agent",
        "agent_state",
        "blocked_actions",
        "blocked_messages",
        "confirmation_policy",
        "execution_status",
        "head_is_empty",
        "id",
        "invoked_skills",
        "max_iterations",
        "persistence_dir",
        "secret_registry",
        "stats",
        "stuck_detection",
        "tags",
        "workspace",
    ];
    assert_eq!(names, wanted);
    assert!(!frame.to_string().contains("sk-secret"));
}

async fn create_with(server: &crate::harness::Server, key: &str) -> String {
    let made = server
        .request(reqwest::Method::POST, "/api/conversations")
        .header("X-Session-API-Key", key)
        .json(&crate::harness::create_body());
    let info: Value = made.send().await.unwrap().json().await.unwrap();
    info["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_taken_from_the_query_the_header_or_the_first_frame() {
    let server = start_with(|config| config.keys = Keys::new(&["good".into()])).await;
    let path = format!("/sockets/events/{}", create_with(&server, "good").await);
    let url = format!("ws://{}{path}", server.address);
    assert!(is_snapshot(&server.socket(&format!("{path}?session_api_key=good")).await.next().await));
    assert_eq!(Socket::refusal(&format!("{url}?session_api_key=bad")).await, 403);

    let mut socket = server.socket(&path).await;
    socket.send(json!({"type": "auth", "session_api_key": "good"}).to_string()).await;
    assert!(is_snapshot(&socket.next().await));
    for first in [r#"{"type":"auth","session_api_key":"bad"}"#, r#"{"role":"user"}"#, "hello", "[]"] {
        let mut socket = server.socket(&path).await;
        socket.send(first).await;
        assert_eq!(socket.close_code().await, 4001, "{first}");
    }
    let mut socket = server.socket(&path).await;
    socket.send_binary(vec![1]).await;
    assert_eq!(socket.close_code().await, 1003);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_not_said_a_key_cannot_say_much_else() {
    let server = start_with(|config| {
        config.keys = Keys::new(&["good".into()]);
        config.limits.strangers_of_a_peer = 4;
    })
    .await;
    let path = format!("/sockets/events/{}", create_with(&server, "good").await);
    let auth = json!({"type": "auth", "session_api_key": "good"}).to_string();

    let mut chatty = server.socket(&path).await;
    chatty.send(auth.clone() + &" ".repeat(9 * 1024)).await;
    assert!(chatty.next_or_end().await.is_none(), "nothing is read beyond a first frame's length");

    let mut known = server.socket(&path).await;
    known.send(auth.clone()).await;
    assert!(is_snapshot(&known.next().await));
    let mut silent = Vec::new();
    for _ in 0..5 {
        silent.push(server.socket(&path).await);
    }
    assert!(silent[0].next_or_end().await.is_none(), "the oldest makes way");
    silent[4].send(auth).await;
    assert!(is_snapshot(&silent[4].next().await));
    known.send(json!({"role": "user", "content": "x".repeat(64 * 1024)}).to_string()).await;
    assert_eq!(known.next().await["kind"], "MessageEvent", "who is known may say more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_served_is_refused_as_the_contract_says() {
    let server = start_with(|config| config.limits.sockets_per_conversation = 1).await;
    let id = server.create().await;
    let base = format!("ws://{}/sockets", server.address);
    for bad in
        ["events/not-a-uuid", &format!("events/{id}?resend_mode=nope"), &format!("session/{id}?after_seq=x")]
    {
        assert_eq!(Socket::refusal(&format!("{base}/{bad}")).await, 403, "{bad}");
    }
    let mut unknown = server.socket("/sockets/events/00000000-0000-0000-0000-000000000007").await;
    assert_eq!(unknown.close_code().await, 4004);
    let mut first = server.socket(&format!("/sockets/events/{id}")).await;
    first.next().await;
    let mut second = server.socket(&format!("/sockets/events/{id}")).await;
    assert_eq!(second.close_code().await, 1013);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_offered_late_is_no_message_and_bad_frames_are_answered() {
    let server = start().await;
    let id = server.create().await;
    let mut socket = server.socket(&format!("/sockets/events/{id}")).await;
    socket.next().await;
    socket.send(r#"{"type":"auth","session_api_key":"any"}"#).await;
    for (frame, code) in [
        ("not json", "JSONDecodeError"),
        (r#"{"a":1}"#, "ValidationError"),
        (r#"{"role":"assistant","content":[]}"#, "AssertionError"),
        (r#"{"type":"auth","more":1}"#, "ValidationError"),
    ] {
        socket.send(frame).await;
        let answer = socket.next().await;
        assert_eq!((&answer["kind"], &answer["code"]), (&json!("ServerErrorEvent"), &json!(code)), "{frame}");
    }
    assert!(server.worker.seen().is_empty());
}

/// Defect B23 of the peer, which drops the connection without a word.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_binary_frame_closes_every_socket_and_says_why_also_as_the_first_frame() {
    let (open, keyed) = (start().await, start_keyed().await);
    let id = open.create().await;
    for server in [&open, &keyed] {
        for path in [format!("events/{id}"), format!("session/{id}"), "bash-events".to_owned()] {
            let mut socket = server.socket(&format!("/sockets/{path}")).await;
            socket.send_binary(vec![0, 159, 146, 150]).await;
            assert_eq!(socket.close_code().await, 1003, "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_over_the_socket_starts_a_run_and_its_events_come_in_log_order() {
    let server = start().await;
    let id = server.create().await;
    let mut socket = server.socket(&format!("/sockets/events/{id}")).await;
    socket.next().await;
    socket.send(json!({"role": "user", "content": "hi"}).to_string()).await;
    let frames =
        socket.until(|frame| is_snapshot(frame) && frame["value"]["execution_status"] == "finished").await;
    let (_, page) = server.get(&format!("/api/conversations/{id}/events/search")).await;
    let stored: Vec<_> = page["items"].as_array().unwrap().clone();
    assert_eq!(frames[..frames.len() - 1], stored[..]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_and_live_events_join_without_gap_doubles_or_disorder() {
    let server = start().await;
    let id = server.create().await;
    const EVENTS: usize = 3_000;
    let events = numbered(0, EVENTS);
    let wanted: Vec<_> = events.iter().map(|event| event["id"].clone()).collect();
    let writer = {
        let (worker, id) = (server.worker.clone(), id_of(&id));
        tokio::spawn(async move { worker.append_events(id, events, 7).await })
    };
    let mut readers = Vec::new();
    for _ in 0..6 {
        let mut socket = server.socket(&format!("/sockets/events/{id}?resend_mode=all")).await;
        readers.push(tokio::spawn(async move {
            let mut seen = Vec::new();
            while seen.len() < EVENTS {
                let frame = socket.next().await;
                if !is_snapshot(&frame) {
                    seen.push(frame["id"].clone());
                }
            }
            seen
        }));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    writer.await.unwrap();
    for reader in readers {
        assert_same(&reader.await.unwrap(), &wanted);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_names_what_is_sent_again() {
    let server = start().await;
    let id = server.create().await;
    let mut events = numbered(0, 5);
    for (i, event) in events.iter_mut().enumerate() {
        event["timestamp"] = format!("2026-11-23T00:00:0{i}").into();
    }
    server.worker.append_events(id_of(&id), events.clone(), 5).await;
    crate::harness::until(async || server.get(&format!("/api/conversations/{id}/events/count")).await.1 == 5)
        .await;
    for (query, from) in [
        ("resend_mode=all", 0),
        ("resend_all=true", 0),
        ("resend_mode=since&after_timestamp=2026-11-23T00:00:03", 3),
        ("resend_mode=since", 5),
        ("", 5),
    ] {
        let mut socket = server.socket(&format!("/sockets/events/{id}?{query}")).await;
        assert!(is_snapshot(&socket.next().await), "{query}");
        for event in &events[from..] {
            assert_eq!(socket.next().await, *event, "{query}");
        }
        assert_eq!(socket.next_within(Duration::from_millis(30)).await, None, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_session_protocol_resumes_from_any_position() {
    let server = start().await;
    let id = server.create().await;
    let path = |query: &str| format!("/sockets/session/{id}{query}");
    let mut empty = server.socket(&path("")).await;
    assert_eq!(empty.next().await, json!({"type": "sync"}));
    assert_eq!(empty.next().await["type"], "transient");

    let events = numbered(0, 6);
    server.worker.append_events(id_of(&id), events.clone(), 6).await;
    for (n, event) in events.iter().enumerate() {
        assert_eq!(empty.next().await, json!({"type": "durable", "seq": n, "event": event}));
    }
    for (query, from, sync) in [
        ("?after_seq=-1", 0, json!({"type": "sync", "from_seq": -1, "through_seq": 5})),
        ("?after_seq=3", 4, json!({"type": "sync", "from_seq": 3, "through_seq": 5})),
        ("?after_seq=9999", 6, json!({"type": "sync", "from_seq": 9999, "through_seq": 5})),
        ("", 6, json!({"type": "sync", "through_seq": 5})),
    ] {
        let mut socket = server.socket(&path(query)).await;
        assert_eq!(socket.next().await, sync, "{query}");
        for (n, event) in events.iter().enumerate().skip(from) {
            assert_eq!(socket.next().await, json!({"type": "durable", "seq": n, "event": event}), "{query}");
        }
        let last = socket.next().await;
        assert_eq!(
            (&last["type"], &last["event"]["key"]),
            (&json!("transient"), &json!("full_state")),
            "{query}"
        );
    }
    empty.send("not json").await;
    assert_eq!(empty.next().await["code"], "JSONDecodeError");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streamed_pieces_come_before_their_event_on_both_protocols() {
    let server = start().await;
    let id = server.create().await;
    let delta = |order: u64, content: &str| Live::Delta {
        item_id: "i".to_owned(),
        attempt: 1,
        order,
        kind: DeltaKind::Text,
        content: content.to_owned(),
        chunk_id: Some("c".to_owned()),
        choice_index: Some(0),
    };
    server.worker.script(|script| {
        script.streams = vec![
            Live::ItemStarted { item_id: "i".to_owned(), attempt: 1, anchor_seq: None },
            delta(0, "Hel"),
            delta(1, "lo"),
        ];
        script.events = 1;
        script.takes = Duration::from_millis(50);
    });
    let mut events = server.socket(&format!("/sockets/events/{id}")).await;
    let mut session = server.socket(&format!("/sockets/session/{id}")).await;
    events.next().await;
    session.next().await;
    session.next().await;
    server.say(&id, "hi", true).await;

    let frames = events.until(|frame| frame["source"] == "agent" && frame["kind"] == "MessageEvent").await;
    let deltas: Vec<_> = frames.iter().filter(|frame| frame["kind"] == "StreamingDeltaEvent").collect();
    let contents: Vec<_> = deltas.iter().map(|frame| frame["content"].clone()).collect();
    assert_eq!(contents, [json!(""), json!("Hel"), json!("lo")]);

    let frames = session.until(|frame| frame["event"]["source"] == "agent").await;
    let live: Vec<_> = frames.iter().filter(|frame| frame.get("item_id").is_some()).cloned().collect();
    assert_eq!(live[0], json!({"type": "item_started", "item_id": "i", "attempt": 1}));
    assert_eq!(
        live[2],
        json!({"type": "delta", "item_id": "i", "attempt": 1, "order": 1, "kind": "text", "content": "lo",
            "chunk_id": "c", "choice_index": 0})
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_that_does_not_read_is_closed_and_the_others_miss_nothing() {
    let server = start().await;
    let id = server.create().await;
    let mut stuck = server.socket(&format!("/sockets/events/{id}")).await;
    stuck.next().await;
    let mut healthy = server.socket(&format!("/sockets/events/{id}")).await;
    healthy.next().await;
    const EVENTS: usize = 300;
    let big = "x".repeat(100_000);
    let events: Vec<_> = (0..EVENTS).map(|_| agent_message(&big)).collect();
    let wanted: Vec<_> = events.iter().map(|event| event["id"].clone()).collect();
    let mut seen = Vec::new();
    // As fast as one of them reads: on a busy machine it could be the slow one.
    for events in events.chunks(5) {
        server.worker.append_events(id_of(&id), events.to_vec(), 5).await;
        for _ in events {
            seen.push(healthy.next().await["id"].clone());
        }
    }
    assert_same(&seen, &wanted);
    // It is told 1013 if it reads that within five seconds.
    while stuck.next_or_end().await.is_some() {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_larger_than_clients_like_is_still_sent() {
    let server = start().await;
    let id = server.create().await;
    let mut socket = server.socket(&format!("/sockets/events/{id}")).await;
    socket.next().await;
    let event = agent_message(&"x".repeat(2 * 1024 * 1024));
    server.worker.append_events(id_of(&id), vec![event.clone()], 1).await;
    assert_eq!(socket.next().await, event);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_outlive_the_deletion_of_their_conversation() {
    let server = start().await;
    let id = server.create().await;
    let mut socket = server.socket(&format!("/sockets/events/{id}")).await;
    socket.next().await;
    server.send(reqwest::Method::DELETE, &format!("/api/conversations/{id}"), None).await;
    assert_eq!(socket.next_within(Duration::from_millis(50)).await, None);
    socket.send(json!({"role": "user", "content": "hi"}).to_string()).await;
    assert_eq!(socket.next().await["kind"], "ServerErrorEvent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopping_server_asks_to_come_back_later() {
    let server = start().await;
    let id = server.create().await;
    let mut socket = server.socket(&format!("/sockets/events/{id}")).await;
    let mut bash = server.socket("/sockets/bash-events").await;
    socket.next().await;
    server.begin_stop();
    assert_eq!(socket.close_code().await, 1012);
    assert_eq!(bash.close_code().await, 1012);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_sockets_get_every_event() {
    let server = start().await;
    let id = server.create().await;
    const EVENTS: usize = 2_000;
    let mut readers = Vec::new();
    for _ in 0..50 {
        let mut socket = server.socket(&format!("/sockets/events/{id}")).await;
        socket.next().await;
        readers.push(tokio::spawn(async move { ids(&socket.until(|f| f["last"] == true).await) }));
    }
    let mut events = numbered(0, EVENTS);
    events[EVENTS - 1]["last"] = true.into();
    let wanted: Vec<_> = events.iter().map(|event| event["id"].clone()).collect();
    let begun = std::time::Instant::now();
    server.worker.append_events(id_of(&id), events, 10).await;
    for reader in readers {
        assert_same(&reader.await.unwrap(), &wanted);
    }
    let rate = 50.0 * EVENTS as f64 / begun.elapsed().as_secs_f64();
    println!("{rate:.0} frames a second");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundreds_of_sockets_may_follow_one_conversation() {
    let server = start().await;
    let id = server.create().await;
    let mut sockets = Vec::new();
    for _ in 0..300 {
        let mut socket = server.socket(&format!("/sockets/events/{id}")).await;
        assert!(is_snapshot(&socket.next().await));
        sockets.push(socket);
    }
    let event = agent_message("to all");
    server.worker.append_events(id_of(&id), vec![event.clone()], 1).await;
    for socket in &mut sockets {
        assert_eq!(socket.next().await, event);
    }
}
