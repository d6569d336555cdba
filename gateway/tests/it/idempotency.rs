//! Calls with an Idempotency-Key act once, on any replica.

use std::time::Duration;

use crate::harness::tokens::{bearer, operations, path_for, token};
use crate::harness::worker::Worker;
use crate::harness::{Client, Server, create_body, start, start_with};
use bytes::Bytes;
use ports::{Expect, Ports};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use types::buckets::IDEMPOTENCY;
use types::calls::Command;
use types::time::{millis, unix_ms};

const REPLAYED: &str = "idempotency-replayed";

fn request(client: &Client, method: Method, path: &str, key: &str) -> RequestBuilder {
    client.request(method, path).header("idempotency-key", key)
}

fn post(client: &Client, path: &str, key: &str, body: &Value) -> RequestBuilder {
    request(client, Method::POST, path, key).json(body)
}

fn is_replayed(response: &Response) -> bool {
    response.headers().get(REPLAYED).is_some_and(|value| value == "true")
}

async fn parts(response: Response) -> (u16, bool, Value) {
    let (status, replayed) = (response.status().as_u16(), is_replayed(&response));
    (status, replayed, response.json().await.unwrap_or_default())
}

async fn answer(request: RequestBuilder) -> (u16, bool, Value) {
    parts(request.send().await.unwrap()).await
}

fn say(text: &str) -> Value {
    json!({"role": "user", "content": [{"type": "text", "text": text}]})
}

fn messages(server: &Server) -> usize {
    server.worker.seen().iter().filter(|command| matches!(command, Command::Message { .. })).count()
}

/// Changes what is kept of the only key: the line before the answer.
async fn rewrite(ports: &Ports, change: impl FnOnce(&mut Value)) {
    let kept = ports.kv.list(IDEMPOTENCY).await.unwrap();
    let [(name, entry)] = &kept[..] else { panic!("{} keys are kept", kept.len()) };
    let line = entry.value.split(|byte| *byte == b'\n').next().unwrap();
    let mut slip: Value = serde_json::from_slice(line).unwrap();
    change(&mut slip);
    let value = Bytes::from(format!("{slip}\n"));
    ports.kv.put(IDEMPOTENCY, name, value, Expect::Revision(entry.revision)).await.unwrap();
}

/// As a gateway leaves it that does not come to an answer after the effect.
fn given_up(slip: &mut Value) {
    slip["state"] = "released".into();
}

/// As a gateway writes it that performs the call, and whose clock is half a day behind.
fn under_way(slip: &mut Value) {
    slip["state"] = "running".into();
    slip["by"] = "00000000-0000-4000-8000-000000000001".into();
    slip["at"] = (unix_ms() - millis(Duration::from_secs(12 * 3_600))).into();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_message_is_stored_once_whichever_replica_gets_it() {
    let server = start().await;
    let other = server.replica().await;
    let path = format!("/api/conversations/{}/events", server.create().await);
    let first = answer(post(&server, &path, "k", &say("hi"))).await;
    assert_eq!(first, (200, false, json!({"success": true})));
    let gateways: [&Client; 2] = [&other, &server];
    for gateway in gateways {
        let again = answer(post(gateway, &path, "k", &say("hi"))).await;
        assert_eq!(again, (200, true, json!({"success": true})));
    }
    assert_eq!(messages(&server), 1);
    let another_key = answer(post(&other, &path, "l", &say("hi"))).await;
    assert_eq!((another_key.0, another_key.1, messages(&server)), (200, false, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_creations_that_meet_on_two_replicas_one_acts() {
    let server = start().await;
    let other = server.replica().await;
    let gateways: [&Client; 2] = [&server, &other];
    let calls = gateways.into_iter().cycle().take(8).map(|gateway| {
        let request = post(gateway, "/api/conversations", "k", &create_body());
        async move { request.send().await.unwrap() }
    });
    let mut made = Vec::new();
    for response in futures_util::future::join_all(calls).await {
        match response.status().as_u16() {
            201 => made.push(parts(response).await),
            409 => assert_eq!(response.headers()["retry-after"], "1"),
            other => panic!("{other}"),
        }
    }
    assert_eq!(made.iter().filter(|(_, replayed, _)| !replayed).count(), 1);
    let last = answer(post(&other, "/api/conversations", "k", &create_body())).await;
    assert!(last.1 && made.iter().all(|(_, _, info)| *info == last.2));
    assert_eq!(server.get("/api/conversations/count").await.1, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_gateway_did_before_it_died_is_found_and_not_done_again() {
    let server = start().await;
    let other = server.replica().await;
    let created = answer(post(&server, "/api/conversations", "k", &create_body())).await;
    rewrite(&server.ports, given_up).await;
    let again = answer(post(&other, "/api/conversations", "k", &create_body())).await;
    assert_eq!((again.0, again.1, &again.2["id"]), (201, false, &created.2["id"]));
    assert_eq!(server.get("/api/conversations/count").await.1, 1);

    server.ports.kv.delete(IDEMPOTENCY, &only_name(&server.ports).await, Expect::Anything).await.unwrap();
    let id = created.2["id"].as_str().unwrap();
    let path = format!("/api/conversations/{id}/events");
    answer(post(&server, &path, "k", &say("hi"))).await;
    rewrite(&server.ports, given_up).await;
    let again = answer(post(&other, &path, "k", &say("hi"))).await;
    assert_eq!(again, (200, false, json!({"success": true})));
    let stored = server.get(&format!("{path}/search?kind=MessageEvent")).await.1;
    assert_eq!(stored["items"].as_array().unwrap().len(), 1, "{stored}");
    let ids: Vec<_> = server.worker.seen().iter().filter_map(once).collect();
    assert_eq!(ids.iter().map(|(_, again)| *again).collect::<Vec<_>>(), [false, true]);
    assert_eq!(ids[0].0, ids[1].0);
}

fn once(command: &Command) -> Option<(types::EventId, bool)> {
    match command {
        Command::Message { once: Some(once), .. } => Some((once.id.clone(), once.again)),
        _ => None,
    }
}

async fn only_name(ports: &Ports) -> String {
    ports.kv.list(IDEMPOTENCY).await.unwrap().remove(0).0
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_is_kept_up_is_not_taken_over() {
    let server = start().await;
    let path = format!("/api/conversations/{}/events", server.create().await);
    answer(post(&server, &path, "k", &say("hi"))).await;
    rewrite(&server.ports, under_way).await;
    let response = post(&server, &path, "k", &say("hi")).send().await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["retry-after"]),
        (409, &"1".parse().unwrap())
    );
    assert_eq!(messages(&server), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_stands_for_one_call_of_one_tenant() {
    let server = start_with(|config| config.site.bearer = Some(bearer())).await;
    let call = |tenant: &str, path: &str, body: &Value| {
        let request = post(&server, path, "k", body);
        request.bearer_auth(token(tenant, "read write"))
    };
    let all = "/api/conversations";
    let first = answer(call("default", all, &create_body())).await;
    assert_eq!((first.0, first.1), (201, false));
    let mut other_body = create_body();
    other_body["max_iterations"] = 7.into();
    assert_eq!(answer(call("default", all, &other_body)).await.0, 422);
    let other_route = answer(call("default", &format!("{all}?include_skills=true"), &other_body)).await;
    assert_eq!((other_route.0, other_route.1), (201, false));
    let other_tenant = answer(call("a", all, &create_body())).await;
    assert_eq!((other_tenant.0, other_tenant.1), (201, false));
    assert_ne!(other_tenant.2["id"], first.2["id"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_are_repeated_and_failures_and_full_slots_are_tried_again() {
    let server = start().await;
    let id = server.create().await;
    let refused = |key| post(&server, "/api/conversations", key, &json!({}));
    assert_eq!((answer(refused("k")).await.0, answer(refused("k")).await.1), (422, true));

    let run = |key| request(&server, Method::POST, &format!("/api/conversations/{id}/run"), key);
    server.worker.script(|script| script.busy = true);
    assert_eq!(answer(run("k")).await.0, 429);
    server.worker.script(|script| script.busy = false);
    let started = answer(run("k")).await;
    assert_eq!((started.0, started.1), (200, false));
    assert!(answer(run("k")).await.1);

    server.until_status(&id, "finished").await;
    server.worker.stop();
    let path = format!("/api/conversations/{id}/events");
    let call = || post(&server, &path, "k", &say("hi"));
    testing::until(async || answer(call()).await.0 == 503).await;
    let worker = Worker::start(&server.ports).await;
    let stored = answer(call()).await;
    assert_eq!((stored.0, stored.1), (200, false));
    // It may have acted before it failed.
    assert!(worker.seen().iter().filter_map(once).all(|(_, again)| again));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_visible_ascii_is_a_key() {
    let server = start().await;
    let longer = "k".repeat(256);
    for key in ["", "a b", longer.as_str()] {
        let (status, _, body) = answer(post(&server, "/api/conversations", key, &create_body())).await;
        assert_eq!(status, 400, "{key:?}: {body}");
    }
    assert_eq!(server.get("/api/conversations/count").await.1, 0);
    assert!(server.ports.kv.list(IDEMPOTENCY).await.unwrap().is_empty());
}

/// None of the first three does what a second time would not do anyway; answers of the next hold logins, and are not kept.
/// Those of another API know no such keys.
const WITHOUT_KEYS: [&str; 10] = [
    "/api/auth/workspace-session",
    "/api/init",
    "/app-backends/{extension_name}/session",
    "/api/mcp/test",
    "/api/mcp/oauth/start",
    "/api/mcp/oauth/callback/{job_id}",
    "/api/llm/subscription/openai/device/start",
    "/api/llm/subscription/openai/device/poll",
    "/v1/chat/completions",
    "/v1/responses",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_operation_that_changes_something_heeds_keys() {
    let server = start().await;
    let (_, document) = server.get("/openapi.json").await;
    let mut heeding = 0;
    for (method, template) in operations(&document) {
        if method == Method::GET || WITHOUT_KEYS.contains(&template.as_str()) {
            continue;
        }
        let path = path_for(&template, "00000000-0000-4000-8000-000000000001");
        let (status, _, body) = answer(request(&server, method.clone(), &path, "a b")).await;
        let detail = body["detail"].as_str().unwrap_or_default();
        assert!(status == 400 && detail.contains("Idempotency-Key"), "{method} {template}: {status} {body}");
        heeding += 1;
    }
    assert!(heeding > 20, "{heeding} operations were tried");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_past_their_time_are_swept_and_their_keys_are_free() {
    let server = start().await;
    let call = || post(&server, "/api/conversations", "k", &create_body());
    let first = answer(call()).await;
    let sweep = async || {
        let stop = CancellationToken::new();
        stop.cancel();
        manyhands_gateway::idempotency::sweep(server.ports.clone(), stop).await;
        server.ports.kv.list(IDEMPOTENCY).await.unwrap().len()
    };
    assert_eq!(sweep().await, 1);
    rewrite(&server.ports, |slip| slip["at"] = 0.into()).await;
    let anew = answer(call()).await;
    assert_eq!((anew.0, anew.1), (201, false));
    assert_ne!(anew.2["id"], first.2["id"]);
    rewrite(&server.ports, |slip| slip["at"] = 0.into()).await;
    assert_eq!(sweep().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cookies_are_never_kept() {
    let server = start_with(|config| config.site.bearer = Some(bearer())).await;
    for _ in 0..2 {
        let request = request(&server, Method::POST, "/api/auth/workspace-session", "k");
        let response = request.bearer_auth(token("default", "read")).send().await.unwrap();
        assert!(response.headers().contains_key("set-cookie") && !is_replayed(&response));
    }
    assert!(server.ports.kv.list(IDEMPOTENCY).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_that_may_call_may_send_keys_and_see_that_an_answer_is_repeated() {
    let server = start().await;
    let path = "/api/conversations";
    let origin = "http://localhost:3000";
    let preflight = server.request(Method::OPTIONS, path).header("origin", origin);
    let preflight = preflight.header("access-control-request-method", "POST");
    let asked = "authorization, content-type, idempotency-key";
    let answer = preflight.header("access-control-request-headers", asked).send().await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["access-control-allow-headers"]),
        (200, &asked.parse().unwrap())
    );
    let answer = server.request(Method::GET, path).header("origin", origin).send().await.unwrap();
    let exposed = answer.headers()["access-control-expose-headers"].to_str().unwrap();
    assert!(exposed.contains("Idempotency-Replayed") && exposed.contains("Retry-After"), "{exposed}");
}
