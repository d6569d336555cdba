//! Tenants: what belongs to one is to any other as if it were not there.

use std::collections::BTreeSet;

use crate::harness::tokens::{bearer, body_for, operations, path_for, token};
use crate::harness::{Server, create_body, start_with};
use ports::Expect;
use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use testing::socket::Socket;
use types::buckets::CONVERSATIONS;
use types::conversation::ConversationRecord;
use types::log::LogRecord;
use types::{BashScope, ConversationId, LogId, SandboxId, Seq};

const UNKNOWN: &str = "00000000-0000-4000-8000-000000000001";

async fn start() -> Server {
    start_with(|config| config.site.bearer = Some(bearer())).await
}

/// Status, content type and body, with `id` blotted out.
async fn call(
    server: &Server,
    tenant: &str,
    operation: &(Method, String),
    id: &str,
) -> (u16, String, String) {
    let (method, template) = operation;
    let request = server.request(method.clone(), &path_for(template, id));
    let mut request = request.bearer_auth(token(tenant, "read write"));
    if template.ends_with("/upload") {
        request = request.multipart(Form::new().part("file", Part::bytes(b"x".as_slice()).file_name("a")));
    } else if let Some(body) = body_for(method, template) {
        request = request.json(&body);
    }
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let kind = response.headers().get("content-type").map(|kind| kind.to_str().unwrap().to_owned());
    let body = response.text().await.unwrap_or_default();
    let body = body.replace(id, "ID").replace(&id.replace('-', ""), "ID");
    (status, kind.unwrap_or_default(), body)
}

async fn as_tenant(
    server: &Server,
    tenant: &str,
    method: Method,
    path: &str,
    body: Option<Value>,
) -> (u16, Value) {
    let mut request = server.request(method, path).bearer_auth(token(tenant, "read write"));
    if let Some(body) = body {
        request = request.json(&body);
    }
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap_or_default())
}

async fn create(server: &Server, tenant: &str) -> String {
    let (status, info) =
        as_tenant(server, tenant, Method::POST, "/api/conversations", Some(create_body())).await;
    assert_eq!(status, 201, "{info}");
    info["id"].as_str().unwrap().to_owned()
}

async fn get(server: &Server, tenant: &str, path: &str) -> Value {
    let (status, answer) = as_tenant(server, tenant, Method::GET, path, None).await;
    assert_eq!(status, 200, "{path}: {answer}");
    answer
}

/// Where also the owner finds nothing, in the same words.
const NOTHING_FOR_ANYBODY: &str = "/api/conversations/{runtime_conversation_id}/bash/bash_events/{event_id}";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_every_route_anothers_conversation_is_as_unknown_as_one_that_never_was() {
    let server = start().await;
    let (_, document) = server.get("/openapi.json").await;
    let mut named: Vec<_> =
        operations(&document).into_iter().filter(|(_, path)| path.contains("conversation_id}")).collect();
    // The one that leaves nothing to be found comes last.
    named.sort_by_key(|(method, path)| method == Method::DELETE && path.ends_with("_id}"));
    assert!(named.len() > 35, "{} operations name a conversation", named.len());
    for (owner, stranger) in [("a", "b"), ("a", "default"), ("default", "a")] {
        let id = create(&server, owner).await;
        for operation in &named {
            let theirs = call(&server, stranger, operation, &id).await;
            let unknown = call(&server, stranger, operation, UNKNOWN).await;
            assert_eq!(theirs, unknown, "{operation:?}");
            assert_ne!(theirs.0, 422, "{operation:?} was not asked for in its own form: {theirs:?}");
        }
        for operation in named.iter().filter(|(_, path)| path != NOTHING_FOR_ANYBODY && owner == "a") {
            let owners = call(&server, owner, operation, &id).await;
            let unknown = call(&server, owner, operation, UNKNOWN).await;
            assert_ne!(owners, unknown, "{operation:?} shows nothing to anybody");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_counts_and_batches_hold_the_callers_own() {
    let server = start().await;
    let mut of_a = BTreeSet::new();
    let mut of_b = BTreeSet::new();
    for _ in 0..3 {
        of_a.insert(create(&server, "a").await);
        of_b.insert(create(&server, "b").await);
    }
    for (tenant, own, others) in [("a", &of_a, &of_b), ("b", &of_b, &of_a)] {
        for sort in ["CREATED_AT", "UPDATED_AT_DESC"] {
            let (mut seen, mut cursor) = (BTreeSet::new(), String::new());
            loop {
                let path = format!("/api/conversations/search?limit=2&sort_order={sort}{cursor}");
                let page = get(&server, tenant, &path).await;
                let ids = page["items"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|item| item["id"].as_str().unwrap().to_owned());
                seen.extend(ids);
                match page["next_page_id"].as_str() {
                    Some(next) => cursor = format!("&page_id={next}"),
                    None => break,
                }
            }
            assert_eq!(&seen, own, "{tenant} {sort}");
        }
        let first = others.first().unwrap();
        // A cursor of somebody else's is no cursor.
        let page = get(&server, tenant, &format!("/api/conversations/search?page_id={first}")).await;
        assert_eq!(page["items"].as_array().unwrap().len(), 3);
        assert_eq!(get(&server, tenant, "/api/conversations/count").await, 3);
        assert_eq!(get(&server, tenant, "/api/conversations/count?status=idle").await, 3);
        let mine = own.first().unwrap();
        let batch = get(&server, tenant, &format!("/api/conversations?ids={first}&ids={mine}")).await;
        assert_eq!((&batch[0], batch[1]["id"].as_str().unwrap()), (&Value::Null, mine.as_str()));
    }
    assert_eq!(get(&server, "c", "/api/conversations/count").await, 0);
    assert_eq!(get(&server, "c", "/api/conversations/search").await["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_of_anothers_conversation_close_as_those_of_an_unknown_one() {
    let server = start().await;
    let id = create(&server, "a").await;
    for socket in ["events", "session"] {
        let open = async |tenant: &str, id: &str| {
            let url = format!("ws://{}/sockets/{socket}/{id}", server.address);
            Socket::open_with(&url, Some(&token(tenant, "read"))).await.unwrap()
        };
        assert_eq!(open("b", &id).await.close_code().await, 4004);
        assert_eq!(open("b", UNKNOWN).await.close_code().await, 4004);
        open("a", &id).await.next().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_name_no_conversation_act_in_the_tenants_own_sandbox() {
    let server = start().await;
    let start_command = async |tenant: &str| {
        let body = json!({"command": "true"});
        as_tenant(&server, tenant, Method::POST, "/api/bash/start_bash_command", Some(body)).await
    };
    let (status, _) = start_command("default").await;
    assert_eq!(status, 200);
    // No worker serves the others here: nothing of theirs may end up in the sandbox of `default`.
    for (method, path) in [
        (Method::POST, "/api/file/create_directory?path=/tmp/w/a"),
        (Method::GET, "/api/file/home"),
        (Method::GET, "/api/file/search_subdirs?path=/tmp"),
        (Method::GET, "/api/file/download?path=/etc/hosts"),
        (Method::GET, "/api/git/changes?path=/tmp/w"),
    ] {
        let (status, _) = as_tenant(&server, "a", method, path, None).await;
        assert_eq!(status, 503, "{path}");
    }
    assert_eq!(start_command("a").await.0, 503);
    let events = "/api/bash/bash_events/search";
    assert!(!get(&server, "default", events).await["items"].as_array().unwrap().is_empty());
    assert_eq!(get(&server, "a", events).await["items"], json!([]));

    let url = format!("ws://{}/sockets/bash-events?resend_mode=all", server.address);
    let mut ours = Socket::open_with(&url, Some(&token("default", "read"))).await.unwrap();
    assert_eq!(ours.next().await["kind"], "BashCommand");
    let mut theirs = Socket::open_with(&url, Some(&token("a", "read write"))).await.unwrap();
    theirs.send(r#"{"command": "true"}"#).await;
    let first = theirs.next().await;
    assert_eq!(first["code"], "ValueError", "events of another tenant, or a command in its sandbox: {first}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_that_another_tenant_has_cannot_be_used_and_shows_nothing() {
    let server = start().await;
    let mut body = create_body();
    body["conversation_id"] = create(&server, "a").await.into();
    let (status, answer) =
        as_tenant(&server, "b", Method::POST, "/api/conversations", Some(body.clone())).await;
    assert_eq!((status, answer), (409, json!({"detail": "This id cannot be used"})));
    let (status, _) = as_tenant(&server, "a", Method::POST, "/api/conversations", Some(body.clone())).await;
    assert_eq!(status, 200);

    let child = |parent: &Value| {
        let mut child = create_body();
        child["parent_conversation_id"] = parent.clone();
        child
    };
    let refusal = async |parent: &Value| {
        let (status, answer) =
            as_tenant(&server, "b", Method::POST, "/api/conversations", Some(child(parent))).await;
        (status, answer.to_string().replace(parent.as_str().unwrap(), "ID"))
    };
    assert_eq!(refusal(&body["conversation_id"]).await, refusal(&UNKNOWN.into()).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn session_keys_and_records_without_a_tenant_are_of_the_default_one() {
    let server = start_with(|config| {
        config.keys = vault::Keys::new(&["k".into()]);
        config.site.bearer = Some(bearer());
    })
    .await;
    let id = create(&server, "default").await;
    let request = server.request(Method::GET, &format!("/api/conversations/{id}"));
    let response = request.header("x-session-api-key", "k").send().await.unwrap();
    assert_eq!(response.status(), 200);
}

/// A worker may append to any log of its own sandbox, also to one that bears the id of another's conversation.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_bears_the_id_of_anothers_conversation_changes_nothing_of_it() {
    let server = start().await;
    let id = create(&server, "victim").await;
    let path = format!("/api/conversations/{id}");
    let conversation: ConversationId = id.parse().unwrap();
    let record = server.ports.kv.get(CONVERSATIONS, &conversation.hex()).await.unwrap().unwrap();
    let record: ConversationRecord = serde_json::from_slice(&record.value).unwrap();
    let attacker = SandboxId::parse("attacker").unwrap();
    let forged = LogId::conversation(&attacker, conversation);
    let own = LogId::conversation(&record.sandbox, conversation);
    let url = format!("ws://{}/sockets/events/{id}", server.address);
    let mut socket = Socket::open_with(&url, Some(&token("victim", "read"))).await.unwrap();
    socket.next().await;

    let append = async |log: &LogId, n: u64, name: &str, status: &str| {
        // All records are of one length: so the positions in both logs meet.
        let text = format!("{name}-{n}");
        let event = json!({"id": text, "timestamp": format!("2026-11-23T00:00:0{n}"), "source": "environment",
            "kind": "ConversationStateUpdateEvent", "key": "execution_status", "value": status,
            "pad": " ".repeat(40 - text.len() - status.len())});
        let record = LogRecord::event(n, &event).unwrap().encode().unwrap();
        let tail = server.ports.log.tail(log).await.unwrap();
        server.ports.log.append(log, tail, vec![record.into()]).await.unwrap();
    };
    for n in 0..2 {
        append(&forged, n, "forged", "error").await;
        append(&own, n, "own", "paused").await;
    }
    append(&forged, 2, "forged", "error").await;
    append(&own, 2, "own", "finished").await;

    let frames = socket.until(|frame| frame["id"] == "own-2").await;
    let shown: Vec<_> =
        frames.iter().filter(|frame| !crate::harness::is_snapshot(frame)).map(|frame| &frame["id"]).collect();
    assert_eq!(shown, ["own-0", "own-1", "own-2"]);
    let events = get(&server, "victim", &format!("{path}/events/search")).await;
    let found: Vec<_> = events["items"].as_array().unwrap().iter().map(|event| &event["id"]).collect();
    assert_eq!(found, ["own-0", "own-1", "own-2"]);
    assert_eq!(get(&server, "victim", &format!("{path}/events/count")).await, 3);
    assert_eq!(get(&server, "victim", &path).await["execution_status"], "finished");

    let shell = LogId::bash(&attacker, BashScope::Conversation(conversation));
    let command = json!({"kind": "BashCommand", "id": "0".repeat(32), "timestamp": "2026-11-23T00:00:00.000000Z",
        "command": "forged", "cwd": null, "timeout": 1});
    let command = serde_json::to_vec(&command).unwrap().into();
    server.ports.log.append(&shell, Seq::ZERO, vec![command]).await.unwrap();
    let commands = get(&server, "victim", &format!("{path}/bash/bash_events/search")).await;
    assert_eq!(commands["items"], json!([]));
}

/// Told late, a gateway may see the record of the second where it knows the first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_that_takes_over_a_deleted_ones_id_is_not_the_first_ones_owners() {
    let server = start().await;
    let id = create(&server, "first").await;
    let conversation: ConversationId = id.parse().unwrap();
    let key = conversation.hex();
    let stored = server.ports.kv.get(CONVERSATIONS, &key).await.unwrap().unwrap();
    let mut record: Value = serde_json::from_slice(&stored.value).unwrap();
    record["tenant"] = "second".into();
    record["sandbox"] = "second".into();
    record["title"] = "not for the first".into();
    let value = serde_json::to_vec(&record).unwrap().into();
    server.ports.kv.put(CONVERSATIONS, &key, value, Expect::Revision(stored.revision)).await.unwrap();
    let path = format!("/api/conversations/{id}");
    testing::until(async || {
        as_tenant(&server, "second", Method::GET, &path, None).await.1["title"] == "not for the first"
    })
    .await;
    assert_eq!(as_tenant(&server, "first", Method::GET, &path, None).await.0, 404);
}

/// What belongs to sandboxes, and has no words of its own for a tenant without one.
const OF_SANDBOXES: [&str; 4] = ["/api/bash", "/api/file", "/api/git/c", "/api/git/d"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_tenant_keeps_no_other_is_shown() {
    let server = start().await;
    let (_, document) = server.get("/openapi.json").await;
    let is_kept = |(_, path): &(Method, String)| {
        let is_elsewhere =
            path.contains("conversation") || OF_SANDBOXES.iter().any(|start| path.starts_with(start));
        path.starts_with("/api/") && !is_elsewhere
    };
    let kept: Vec<_> = operations(&document).into_iter().filter(is_kept).collect();
    for operation in kept.iter().filter(|(method, _)| method != Method::GET && method != Method::DELETE) {
        call(&server, "a", operation, UNKNOWN).await;
    }
    let mut shown = 0;
    for operation in kept.iter().filter(|(method, _)| method == Method::GET) {
        let of_stranger = blot_chance(call(&server, "b", operation, UNKNOWN).await);
        // Nobody has ever written anything as this one.
        let of_nobody = blot_chance(call(&server, "c", operation, UNKNOWN).await);
        assert_eq!(of_stranger, of_nobody, "{operation:?}");
        shown += usize::from(blot_chance(call(&server, "a", operation, UNKNOWN).await) != of_nobody);
    }
    assert!(shown >= 3, "{shown} operations show what a tenant keeps");
}

/// Defaults have the time of reading in them, and what is made for each has an id of its own.
fn blot_chance((status, kind, body): (u16, String, String)) -> (u16, String, String) {
    let blot_id = |part| if uuid::Uuid::parse_str(part).is_ok() { "ID" } else { part };
    let body = body.split('"').map(blot_id).collect::<Vec<_>>().join("\"");
    let body = match body.split_once("\"current_datetime\":\"") {
        Some((before, after)) => format!("{before}{}", after.split_once('"').map_or(after, |(_, rest)| rest)),
        None => body,
    };
    (status, kind, body)
}
