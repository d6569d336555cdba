//! What a copying that was cut off leaves, and who has the id of the copy then.

use std::time::Duration;

use bytes::Bytes;
use control::placement::Policy;
use ports::{Expect, Ports};
use serde_json::{Value, json};
use types::Seq;
use types::buckets::IDEMPOTENCY;
use types::time::{millis, unix_ms};

use crate::copies::{COPY, count, log_of, with_the_id_of_the_copy};
use crate::harness::events::agent_message;
use crate::harness::{Server, cluster, start, status_and_json};

/// As a server that was killed over a copy leaves it.
async fn cut_off(server: &Server) {
    let event = json!({"n": 0, "event": agent_message("of the source")}).to_string();
    let records = vec![r#"{"control":{"type":"forked"}}"#.into(), event.into()];
    server.ports.log.append(&log_of(COPY), Seq::ZERO, records).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_was_cut_off_is_in_nobodys_way() {
    let server = start().await;
    let source = server.create().await;
    cut_off(&server).await;
    let path = format!("/api/conversations/{source}/fork");
    let (status, made) = server.post(&path, json!({ "id": COPY })).await;
    assert_eq!((status, count(&server, COPY).await), (201, 0), "{made}");

    let server = start().await;
    cut_off(&server).await;
    let (status, _) = server.post("/api/conversations", with_the_id_of_the_copy()).await;
    assert_eq!((status, count(&server, COPY).await), (201, 0));
}

/// A cluster in which a copy was begun so long ago, by a gateway that has died since.
async fn cut_off_in_a_cluster(begun: Duration) -> (cluster::World, String) {
    let world = cluster::start(Policy::Shared).await;
    let source = world.gateway().create_from(cluster::create_body("/tmp/w")).await;
    leave_mark(&world, COPY, begun).await;
    (world, source)
}

async fn leave_mark(world: &cluster::World, id: &str, begun: Duration) {
    let at = unix_ms() - millis(begun);
    let mark = json!({"control": {"type": "forked", "at": at}}).to_string();
    world.ports.log.append(&log_of(id), Seq::ZERO, vec![mark.into()]).await.unwrap();
}

const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_copy_that_was_cut_off_nobody_is_told_that_it_exists() {
    let (world, source) = cut_off_in_a_cluster(Duration::ZERO).await;
    let gateway = world.gateway();
    let mut body = cluster::create_body("/tmp/w");
    body["conversation_id"] = COPY.into();
    let fork = format!("/api/conversations/{source}/fork");
    assert_eq!(gateway.post("/api/conversations", &body).await.0, 503);
    assert_eq!(gateway.post(&fork, json!({ "id": COPY })).await.0, 503);
    assert_eq!(gateway.get(&format!("/api/conversations/{COPY}")).await.0, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_needs_the_id_of_a_copy_that_nobody_makes_any_more_has_it() {
    let (world, source) = cut_off_in_a_cluster(HOUR).await;
    let fork = format!("/api/conversations/{source}/fork");
    let (status, made) = world.gateway().post(&fork, json!({ "id": COPY })).await;
    assert_eq!(status, 201, "{made}");

    let (world, _) = cut_off_in_a_cluster(HOUR).await;
    let mut body = cluster::create_body("/tmp/w");
    body["conversation_id"] = COPY.into();
    let (status, made) = world.gateway().post("/api/conversations", &body).await;
    assert_eq!(status, 201, "{made}");
}

/// The first gateway that copied may only be slow.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fork_with_a_key_that_was_cut_off_makes_no_second_one() {
    let world = cluster::start(Policy::Shared).await;
    let gateway = world.gateway();
    let source = gateway.create_from(cluster::create_body("/tmp/w")).await;
    let fork = async || {
        let path = format!("/api/conversations/{source}/fork");
        let request = gateway.request(reqwest::Method::POST, &path).header("idempotency-key", "once");
        status_and_json(request.json(&json!({})).send().await.unwrap()).await
    };
    let (status, made) = fork().await;
    assert_eq!(status, 201, "{made}");
    let copy = made["id"].as_str().unwrap();
    // As if the gateway had died meanwhile, and not told anybody.
    let path = format!("/api/conversations/{copy}");
    assert_eq!(gateway.delete(&path).await.0, 200);
    abandon_the_key(&world.ports).await;
    leave_mark(&world, copy, Duration::ZERO).await;
    assert_eq!(fork().await.0, 503);
    world.ports.log.delete(&log_of(copy)).await.unwrap();
    leave_mark(&world, copy, HOUR).await;
    let (status, again) = fork().await;
    assert_eq!((status, &again["id"]), (201, &made["id"]));
    assert_eq!(gateway.get("/api/conversations/count").await.1, 2);
}

/// What is kept of the only key says that nobody acts for it.
async fn abandon_the_key(ports: &Ports) {
    let kept = ports.kv.list(IDEMPOTENCY).await.unwrap();
    let [(name, entry)] = &kept[..] else { panic!("{} keys are kept", kept.len()) };
    let line = entry.value.split(|byte| *byte == b'\n').next().unwrap();
    let mut slip: Value = serde_json::from_slice(line).unwrap();
    slip["state"] = "released".into();
    let value = Bytes::from(format!("{slip}\n"));
    ports.kv.put(IDEMPOTENCY, name, value, Expect::Revision(entry.revision)).await.unwrap();
}
