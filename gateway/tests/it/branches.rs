//! Branches of conversations over REST.

use serde_json::{Value, json};
use types::ConversationId;

use crate::harness::events::{agent_message, finish};
use crate::harness::{Server, create_body, start, until};

const NOBODY: &str = "00000000-0000-4000-8000-000000000001";

fn id_of(text: &str) -> ConversationId {
    text.parse().unwrap()
}

async fn navigate(server: &Server, id: &str, body: Value) -> (u16, Value) {
    server.post(&format!("/api/conversations/{id}/navigate"), body).await
}

/// Events below each other.
fn chain(events: Vec<Value>) -> Vec<Value> {
    let mut parent = Value::from("__root__");
    let hang = |mut event: Value| {
        event["parent_id"] = std::mem::replace(&mut parent, event["id"].clone());
        event
    };
    events.into_iter().map(hang).collect()
}

async fn final_response(server: &Server, id: &str) -> Value {
    server.get(&format!("/api/conversations/{id}/agent_final_response")).await.1["response"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_answer_shows_where_the_conversation_goes_on() {
    let server = start().await;
    let id = server.create().await;
    let events = chain(vec![agent_message("first"), finish("second")]);
    let [first, second] = [0, 1].map(|at| events[at]["id"].clone());
    server.worker.append_events(id_of(&id), events, 2).await;
    until(async || final_response(&server, &id).await == "second").await;
    let (status, info) = navigate(&server, &id, json!({ "event_id": first })).await;
    assert_eq!((status, &info["leaf_event_id"]), (200, &first));
    assert_eq!(info["runtime_info"], Value::Null);
    assert_eq!(final_response(&server, &id).await, "first", "what was left is not what it said last");
    let (_, count) = server.get(&format!("/api/conversations/{id}/events/count")).await;
    assert_eq!(count, 2, "nothing is removed, and nothing added");

    let (status, info) = navigate(&server, &id, json!({"event_id": null})).await;
    assert_eq!((status, &info["leaf_event_id"]), (200, &Value::Null));
    assert_eq!(final_response(&server, &id).await, "");
    let (_, info) = navigate(&server, &id, json!({ "event_id": second })).await;
    assert_eq!(info["leaf_event_id"], second);
    assert_eq!(server.info(&id).await["leaf_event_id"], second);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_gone_to_is_refused_in_the_peers_words() {
    let server = start().await;
    let id = server.create().await;
    let (status, refused) = navigate(&server, NOBODY, json!({"event_id": null})).await;
    assert_eq!((status, refused), (404, json!({"detail": "Conversation not found"})));
    let (status, refused) =
        server.send(reqwest::Method::POST, &format!("/api/conversations/{id}/navigate"), None).await;
    assert_eq!((status, &refused["detail"][0]["loc"]), (422, &json!(["body"])));
    let (status, refused) = navigate(&server, &id, json!({"event_id": "y".repeat(1_000)})).await;
    assert_eq!((status, refused["detail"].as_str().unwrap().len()), (404, "Unknown event_id: ".len() + 256));
}

async fn fork(server: &Server, id: &str, body: Value) -> (u16, Value) {
    server.post(&format!("/api/conversations/{id}/fork"), body).await
}

async fn ids_of(server: &Server, id: &str) -> Vec<Value> {
    let (_, found) = server.get(&format!("/api/conversations/{id}/events/search")).await;
    found["items"].as_array().unwrap().iter().map(|event| event["id"].clone()).collect()
}

/// A conversation with a title, tags, a secret and three events.
async fn talked() -> (Server, String, Vec<Value>) {
    let server = start().await;
    let mut body = create_body();
    body["tags"] = json!({"team": "a"});
    body["secrets"] = json!({"TOKEN": {"kind": "StaticSecret", "value": "tok-secret"}});
    body["confirmation_policy"] = json!({"kind": "AlwaysConfirm"});
    let id = server.create_from(body).await;
    let path = format!("/api/conversations/{id}");
    server.send(reqwest::Method::PATCH, &path, Some(&json!({"title": "The first"}))).await;
    let policy = json!({"policy": {"kind": "NeverConfirm"}});
    assert_eq!(server.post(&format!("{path}/confirmation_policy"), policy).await.0, 200);
    let events = chain(vec![agent_message("first"), agent_message("second"), finish("third")]);
    server.worker.append_events(id_of(&id), events.clone(), 3).await;
    let ids: Vec<Value> = events.iter().map(|event| event["id"].clone()).collect();
    until(async || server.info(&id).await["leaf_event_id"] == ids[2]).await;
    (server, id, ids)
}

/// Defect B8 of the peer: its copies have lost their keys.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fork_has_its_keys() {
    let (server, id, ids) = talked().await;
    let (status, made) = fork(&server, &id, json!({})).await;
    assert_eq!(status, 201, "{made}");
    let copy = made["id"].as_str().unwrap();
    let working_copy = server.worker.working_copy(id_of(copy)).await;
    assert_eq!(working_copy.agent["llm"]["api_key"], "sk-secret");
    assert!(format!("{:?}", working_copy.secrets["TOKEN"]).contains("tok-secret"));
    assert!(!made.to_string().contains("-secret"), "{made}");
    assert_eq!(ids_of(&server, copy).await, ids_of(&server, &id).await);
    assert_eq!((&made["leaf_event_id"], &made["forked_from_conversation_id"]), (&ids[2], &json!(id)));
    assert_eq!((&made["title"], &made["tags"]), (&Value::Null, &json!({})));
    assert_eq!(made["confirmation_policy"]["kind"], "NeverConfirm", "as it is, and not as it was made");
    assert_eq!((&made["execution_status"], &made["last_user_message_id"]), (&json!("idle"), &Value::Null));
    assert_eq!(made["stats"], json!({"usage_to_metrics": {}}));
    assert_ne!(made["created_at"], server.info(&id).await["created_at"]);
    assert_eq!(made["runtime_info"], Value::Null);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_branch_only_what_leads_to_its_event_is_copied() {
    let (server, id, ids) = talked().await;
    let body = json!({"from_event_id": ids[1], "title": "The second", "tags": {"team": "b"}, "id": NOBODY});
    let (status, made) = fork(&server, &id, body).await;
    assert_eq!((status, &made["id"]), (201, &json!(NOBODY)), "{made}");
    assert_eq!(ids_of(&server, NOBODY).await, ids[..2]);
    assert_eq!((&made["leaf_event_id"], &made["forked_from_event_id"]), (&ids[1], &ids[1]));
    assert_eq!((&made["title"], &made["tags"]), (&json!("The second"), &json!({"team": "b"})));
    assert_eq!(final_response(&server, NOBODY).await, "second");
    assert_eq!(ids_of(&server, &id).await.len(), 4, "the source is as it was");
    server.run(NOBODY).await;
    server.until_status(NOBODY, "finished").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fork_of_a_running_conversation_rests() {
    let server = start().await;
    server.worker.script(|script| script.takes = std::time::Duration::from_secs(3_600));
    let id = server.create().await;
    server.run(&id).await;
    server.until_status(&id, "running").await;
    let (status, made) =
        server.send(reqwest::Method::POST, &format!("/api/conversations/{id}/fork"), None).await;
    assert_eq!((status, &made["execution_status"]), (201, &json!("idle")), "{made}");
    assert_eq!(server.status(&id).await, "running");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_forks_to_one_id_make_one() {
    let (server, id, _) = talked().await;
    let forks = (0..4).map(|_| fork(&server, &id, json!({ "id": NOBODY })));
    let mut statuses: Vec<u16> =
        futures_util::future::join_all(forks).await.into_iter().map(|(status, _)| status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409, 409]);
    assert_eq!(ids_of(&server, NOBODY).await, ids_of(&server, &id).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_copied_is_refused_in_the_peers_words() {
    let (server, id, _) = talked().await;
    let taken = format!("Conversation with id {id} already exists");
    let cases = [
        (NOBODY, json!({}), 404, json!("Source conversation not found")),
        (id.as_str(), json!({"from_event_id": "zz"}), 404, json!("Unknown from_event_id: zz")),
        (id.as_str(), json!({ "id": id }), 409, json!(taken)),
    ];
    for (id, body, wanted, detail) in cases {
        let (status, refused) = fork(&server, id, body).await;
        assert_eq!((status, &refused["detail"]), (wanted, &detail));
    }
    let long = "x".repeat(201);
    for (body, loc) in [
        (json!({"tags": {"A": "b"}}), "tags"),
        (json!({ "title": long }), "title"),
        (json!({"id": "x"}), "id"),
    ] {
        let (status, refused) = fork(&server, &id, body).await;
        assert_eq!((status, &refused["detail"][0]["loc"]), (422, &json!(["body", loc])), "{refused}");
    }
    assert_eq!(server.get("/api/conversations/count").await.1, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_is_told_that_the_conversation_goes_on_from_elsewhere() {
    let server = start().await;
    let id = server.create().await;
    let events = chain(vec![agent_message("first"), agent_message("second")]);
    let first = events[0]["id"].clone();
    server.worker.append_events(id_of(&id), events, 2).await;
    let mut socket = server.socket(&format!("/sockets/events/{id}")).await;
    let went = |frame: &Value| frame["key"] == "full_state" && frame["value"]["leaf_event_id"] == first;
    navigate(&server, &id, json!({ "event_id": first })).await;
    socket.until(went).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fork_is_called_by_what_can_be_seen_of_its_title() {
    let (server, id, _) = talked().await;
    let (_, made) = fork(&server, &id, json!({"title": "\u{1b}[31mTwo\u{202e}\nlines"})).await;
    assert_eq!(made["title"], "[31mTwo lines");
    let (_, made) = fork(&server, &id, json!({"title": " \n"})).await;
    assert_eq!(made["title"], Value::Null);
}

/// Whoever starts a run next would take a snapshot of the conversation that rests for its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_head_is_moved_its_snapshot_is_waited_for() {
    let (server, id, ids) = talked().await;
    let begun = std::time::Instant::now();
    assert_eq!(navigate(&server, &id, json!({"event_id": ids[0]})).await.0, 200);
    assert!(begun.elapsed() >= std::time::Duration::from_millis(25), "{:?}", begun.elapsed());
}
