//! Branches of conversations over REST.

use serde_json::{Value, json};
use types::ConversationId;

use crate::harness::events::{agent_message, finish};
use crate::harness::{Server, start, until};

const NOBODY: &str = "00000000-0000-4000-8000-000000000001";

fn id_of(text: &str) -> ConversationId {
    text.parse().unwrap()
}

async fn navigate(server: &Server, id: &str, body: Value) -> (u16, Value) {
    server.post(&format!("/api/conversations/{id}/navigate"), body).await
}

/// Events below each other.
fn chain(events: Vec<Value>) -> Vec<Value> {
    let mut parent: Option<Value> = None;
    let hang = |mut event: Value| {
        if let Some(parent) = parent.replace(event["id"].clone()) {
            event["parent_id"] = parent;
        }
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
