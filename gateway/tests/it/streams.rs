//! The stream of all conversations of a tenant.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use ports::doubles::{KvDouble, LogDouble};
use ports::{Changes, EventLog, Kv, Ports, Record, Result};
use reqwest::Method;
use serde_json::{Value, json};
use testing::socket::Socket;
use types::buckets::CONVERSATIONS;
use types::{ConversationId, LogId, Seq};

use crate::harness::events::agent_message;
use crate::harness::tokens::{bearer, token};
use crate::harness::{Client, Gateway, KEY, config, create_body, start, start_keyed, start_with};

const PATH: &str = "/sockets/conversations";

async fn stream(client: &Client, query: &str) -> Socket {
    client.socket(&format!("{PATH}?{query}")).await
}

fn is(kind: &str) -> impl Fn(&Value) -> bool {
    move |frame| frame["type"] == kind
}

fn cursor(frames: &[Value]) -> String {
    let cursor = frames.iter().rev().find_map(|frame| frame["cursor"].as_str());
    cursor.expect("a frame with a cursor").to_owned()
}

async fn until_ready(socket: &mut Socket) -> Vec<Value> {
    socket.until(is("ready")).await
}

fn listed(frames: &[Value]) -> Vec<String> {
    let pages = frames.iter().filter(|frame| frame["type"] == "listed");
    let ids = pages.flat_map(|page| page["conversations"].as_array().unwrap());
    let mut ids: Vec<_> = ids.map(|brief| brief["id"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    ids
}

fn id_of(frame: &Value) -> &str {
    let id = frame["conversation"]["id"].as_str().or(frame["conversation_id"].as_str());
    id.unwrap_or_else(|| panic!("of no conversation: {frame}"))
}

fn events_of<'a>(frames: &'a [Value], id: &str) -> Vec<&'a Value> {
    frames.iter().filter(|frame| frame["type"] == "event" && id_of(frame) == id).collect()
}

/// Frames until this conversation has been told to have so many events.
async fn until_events(socket: &mut Socket, id: &str, events: u64) -> Vec<Value> {
    socket.until(|frame| id_of(frame) == id && frame["conversation"]["events"] == events).await
}

async fn patch_title(client: &Client, id: &str, title: &str) {
    let body = json!({ "title": title });
    let (status, answer) = client.send(Method::PATCH, &format!("/api/conversations/{id}"), Some(&body)).await;
    assert_eq!(status, 200, "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_begins_is_told_all_conversations_and_then_what_becomes_of_them() {
    let server = start().await;
    let first = server.create().await;
    let mut socket = stream(&server, "").await;
    let frames = until_ready(&mut socket).await;
    assert_eq!(
        (&frames[0]["type"], &frames[0]["reason"], &frames[0]["total"]),
        (&json!("reset"), &json!("begin"), &json!(1))
    );
    assert_eq!(listed(&frames), [first.as_str()]);
    let brief = &frames[1]["conversations"][0];
    assert_eq!(
        (&brief["execution_status"], &brief["model"], &brief["working_dir"], &brief["cost"]),
        (&json!("idle"), &json!("openai/m"), &json!("/tmp/w"), &json!(0.0))
    );

    let second = server.create().await;
    let created = socket.until(is("created")).await;
    assert_eq!(id_of(created.last().unwrap()), second);
    patch_title(&server, &first, "named").await;
    let changed = socket.until(|frame| frame["conversation"]["title"] == "named").await;
    assert_eq!(
        (&changed.last().unwrap()["type"], id_of(changed.last().unwrap())),
        (&json!("changed"), first.as_str())
    );
    server.run(&first).await;
    socket.until(|frame| frame["conversation"]["execution_status"] == "finished").await;
    server.delete(&format!("/api/conversations/{second}")).await;
    let deleted = socket.until(is("deleted")).await;
    assert_eq!(id_of(deleted.last().unwrap()), second);
    assert!(deleted.iter().all(|frame| frame["type"] != "event"), "events are told to who asks for them");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_back_misses_nothing_and_is_told_nothing_twice_on_another_gateway_too() {
    let server = start().await;
    let replica = server.replica().await;
    let (old, busy, gone) = (server.create().await, server.create().await, server.create().await);
    let mut socket = stream(&server, "events=true").await;
    let mut seen = until_ready(&mut socket).await;
    let id: ConversationId = busy.parse().unwrap();
    let texts: Vec<_> = (0..50).map(|n| agent_message(&n.to_string())).collect();
    server.worker.append_events(id, texts[..20].to_vec(), 3).await;
    for _ in 0..7 {
        seen.push(socket.next().await);
    }
    drop(socket);

    server.worker.append_events(id, texts[20..].to_vec(), 7).await;
    let made = server.create().await;
    server.say(&made, "hello", false).await;
    patch_title(&server, &old, "another").await;
    server.delete(&format!("/api/conversations/{gone}")).await;
    // The other gateway hears of it a little later.
    testing::until(async || replica.get(&format!("/api/conversations/{gone}")).await.0 == 404).await;

    let mut socket = stream(&replica, &format!("events=true&cursor={}", cursor(&seen))).await;
    let mut later = vec![socket.next().await];
    assert_eq!(later[0]["type"], "resumed", "{}", later[0]);
    let mut is_missing = BTreeMap::from([("busy", true), ("made", true), ("old", true), ("gone", true)]);
    while is_missing.values().any(|missing| *missing) {
        let frame = socket.next().await;
        let (kind, id) = (frame["type"].as_str().unwrap(), id_of(&frame));
        for (name, is_told) in [
            ("busy", kind == "event" && id == busy && frame["seq"] == 49),
            ("made", kind == "event" && id == made && frame["event"]["kind"] == "MessageEvent"),
            ("old", kind == "changed" && id == old && frame["conversation"]["title"] == "another"),
            ("gone", kind == "deleted" && id == gone),
        ] {
            if is_told {
                is_missing.insert(name, false);
            }
        }
        later.push(frame);
    }
    seen.extend(later);
    let told: Vec<_> = events_of(&seen, &busy).iter().map(|frame| frame["event"]["id"].clone()).collect();
    let stored: Vec<_> = texts.iter().map(|event| event["id"].clone()).collect();
    assert_eq!(told, stored);
    let created: Vec<_> = seen.iter().filter(|frame| frame["type"] == "created").map(id_of).collect();
    assert_eq!(created, [made.as_str()]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_missed_nothing_is_told_nothing_after_a_restart_of_the_server() {
    let server = start().await;
    let ids = [server.create().await, server.create().await];
    for id in &ids {
        server.say(id, "hello", false).await;
    }
    let mut socket = stream(&server, "events=1").await;
    let had = cursor(&until_ready(&mut socket).await);
    let server = server.restart().await;
    let mut socket = stream(&server, &format!("events=1&cursor={had}")).await;
    assert_eq!(socket.next().await["type"], "resumed");
    server.say(&ids[1], "again", false).await;
    let frames = socket.until(|frame| frame["event"]["kind"] == "MessageEvent").await;
    assert!(frames.iter().all(|frame| id_of(frame) == ids[1]), "{frames:?}");
    assert_eq!(frames.last().unwrap()["event"]["llm_message"]["content"][0]["text"], "again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_that_cannot_tell_what_was_missed_is_answered_with_the_whole_list() {
    let server = start().await;
    let quiet = server.create().await;
    for _ in 0..40 {
        server.create().await;
    }
    let mut socket = stream(&server, "").await;
    let had = cursor(&until_ready(&mut socket).await);
    drop(socket);
    // It is not among those that changed last, so the cursor does not name it.
    patch_title(&server, &quiet, "awake").await;
    let mut socket = stream(&server, &format!("cursor={had}")).await;
    let frames = until_ready(&mut socket).await;
    assert_eq!((&frames[0]["type"], &frames[0]["reason"]), (&json!("reset"), &json!("outdated")));
    assert_eq!(listed(&frames).len(), 41);
    // One that has changed under its client's eyes is named, and what was made while nobody looked is found without it.
    patch_title(&server, &quiet, "once").await;
    let had = cursor(&socket.until(|frame| frame["conversation"]["title"] == "once").await);
    drop(socket);
    patch_title(&server, &quiet, "twice").await;
    let made = server.create().await;
    let mut socket = stream(&server, &format!("cursor={had}")).await;
    assert_eq!(socket.next().await["type"], "resumed");
    let frames = socket.until(|frame| frame["conversation"]["title"] == "twice").await;
    assert_eq!(frames.iter().map(id_of).collect::<Vec<_>>(), [made.as_str(), quiet.as_str()]);
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from.join(".")).arg(to).status().unwrap();
    assert!(copied.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_was_put_back_is_listed_anew_also_where_only_a_record_is_older() {
    let (server, saved) = (start().await, tempfile::tempdir().unwrap());
    let id = server.create().await;
    let server = server.restart_after(|folder| copy(folder, saved.path())).await;
    for title in ["one", "two"] {
        patch_title(&server, &id, title).await;
    }
    let had = cursor(&until_ready(&mut stream(&server, "").await).await);
    let put_back = |folder: &Path| {
        for found in std::fs::read_dir(folder).unwrap() {
            let path = found.unwrap().path();
            if path.is_dir() {
                std::fs::remove_dir_all(path).unwrap()
            } else {
                std::fs::remove_file(path).unwrap()
            }
        }
        copy(saved.path(), folder);
    };
    let server = server.restart_after(put_back).await;
    let mut socket = stream(&server, &format!("cursor={had}")).await;
    let frames = until_ready(&mut socket).await;
    assert_eq!((&frames[0]["type"], &frames[0]["reason"]), (&json!("reset"), &json!("outdated")));
    patch_title(&server, &id, "three").await;
    socket.until(|frame| frame["conversation"]["title"] == "three").await;
}

/// Of which records nobody tells anything.
struct Unheard(Arc<dyn Kv>);

#[async_trait]
impl KvDouble for Unheard {
    fn inner(&self) -> Result<&dyn Kv> {
        Ok(self.0.as_ref())
    }

    async fn watch(&self, bucket: &str) -> Result<Changes> {
        match bucket == CONVERSATIONS {
            true => Ok(Box::pin(futures_util::stream::pending())),
            false => self.0.watch(bucket).await,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_goes_before_it_has_come_to_a_gateway_is_told_to_be_gone() {
    let server = start().await;
    let ports = Ports { kv: Arc::new(Unheard(server.ports.kv.clone())), ..server.ports.clone() };
    let behind = Gateway::start(ports, config()).await;
    let id = server.create().await;
    let had = cursor(&until_ready(&mut stream(&server, "").await).await);
    let mut socket = stream(&behind, &format!("cursor={had}")).await;
    assert_eq!(socket.next().await["type"], "resumed");
    server.delete(&format!("/api/conversations/{id}")).await;
    let deleted = socket.until(is("deleted")).await;
    assert_eq!(id_of(deleted.last().unwrap()), id);
}

struct Counted {
    log: Arc<dyn EventLog>,
    reads: AtomicUsize,
}

#[async_trait]
impl LogDouble for Counted {
    fn inner(&self) -> Result<&dyn EventLog> {
        Ok(self.log.as_ref())
    }

    async fn read(&self, log: &LogId, after: Seq, limit: usize) -> Result<Vec<Record>> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.log.read(log, after, limit).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_of_a_run_are_read_once_for_however_many_streams() {
    const STREAMS: usize = 10;
    const EVENTS: usize = 40;
    let server = start().await;
    let counted = Arc::new(Counted { log: server.ports.log.clone(), reads: AtomicUsize::new(0) });
    let ports = Ports { log: counted.clone(), ..server.ports.clone() };
    let gateway = Gateway::start(ports, config()).await;
    let id = server.create().await;
    let worker_id: ConversationId = id.parse().unwrap();
    let running = json!({"id": "run", "timestamp": "2026-11-23T00:00:00", "source": "environment",
        "kind": "ConversationStateUpdateEvent", "key": "execution_status", "value": "running"});
    server.worker.append_events(worker_id, vec![running], 1).await;
    let mut sockets = Vec::new();
    for _ in 0..STREAMS {
        let mut socket = stream(&gateway, "events=true").await;
        until_ready(&mut socket).await;
        sockets.push(socket);
    }
    let told = async |socket: &mut Socket, n: u64| {
        socket.until(|frame| frame["type"] == "event" && frame["seq"] == n).await;
    };
    server.worker.append_events(worker_id, vec![agent_message("the first")], 1).await;
    for socket in &mut sockets {
        told(socket, 1).await;
    }
    let before = counted.reads.load(Ordering::Relaxed);
    for n in 0..EVENTS {
        server.worker.append_events(worker_id, vec![agent_message(&n.to_string())], 1).await;
        for socket in &mut sockets {
            told(socket, n as u64 + 2).await;
        }
    }
    let reads = counted.reads.load(Ordering::Relaxed) - before;
    assert!(reads < EVENTS, "{reads} reads");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_of_another_server_or_tenant_and_no_cursor_at_all_begin_anew() {
    let server = start_with(|config| config.site.bearer = Some(bearer())).await;
    let other = start_with(|config| config.secret_key = "another secret key".into()).await;
    other.create().await;
    let of_other = cursor(&until_ready(&mut stream(&other, "").await).await);
    let open = async |tenant: &str, cursor: &str| {
        let url = format!("ws://{}{PATH}?cursor={cursor}", server.address);
        Socket::open_with(&url, Some(&token(tenant, "read"))).await.unwrap()
    };
    let of_a = cursor(&until_ready(&mut open("a", "").await).await);
    for (tenant, cursor) in [("a", of_other.as_str()), ("b", of_a.as_str()), ("a", "nonsense"), ("a", "%00")]
    {
        let first = open(tenant, cursor).await.next().await;
        assert_eq!(
            (&first["type"], &first["reason"]),
            (&json!("reset"), &json!("unknown")),
            "{tenant} {cursor}"
        );
    }
    assert_eq!(open("a", &of_a).await.next().await["type"], "resumed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_is_told_of_its_own_conversations_alone() {
    let server = start_with(|config| config.site.bearer = Some(bearer())).await;
    let create = async |tenant: &str| {
        let request =
            server.request(Method::POST, "/api/conversations").bearer_auth(token(tenant, "read write"));
        let answer: Value = request.json(&create_body()).send().await.unwrap().json().await.unwrap();
        answer["id"].as_str().unwrap().to_owned()
    };
    let (of_a, _) = (create("a").await, create("b").await);
    let url = format!("ws://{}{PATH}?events=true", server.address);
    let mut socket = Socket::open_with(&url, Some(&token("a", "read"))).await.unwrap();
    let frames = until_ready(&mut socket).await;
    assert_eq!((listed(&frames), &frames[0]["total"]), (vec![of_a], &json!(1)));
    create("b").await;
    let second = create("a").await;
    assert_eq!(id_of(&socket.next().await), second);
    assert_eq!(Socket::open_with(&url, Some(&token("a", "write"))).await.err(), Some(403));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_events_of_the_kinds_asked_for_are_told() {
    let server = start().await;
    let id = server.create().await;
    let mut socket = stream(&server, "events=true&kind=MessageEvent&kind=PauseEvent").await;
    until_ready(&mut socket).await;
    server.say(&id, "hello", false).await;
    let frames = until_events(&mut socket, &id, 2).await;
    let kinds: Vec<_> = events_of(&frames, &id).iter().map(|frame| frame["event"]["kind"].clone()).collect();
    assert_eq!(kinds, ["MessageEvent"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_made_anew_under_the_id_of_a_deleted_one_is_another() {
    let server = start().await;
    let mut body = create_body();
    body["conversation_id"] = json!("00000000-0000-4000-8000-00000000000a");
    let id = server.create_from(body.clone()).await;
    let mut socket = stream(&server, "").await;
    let had = cursor(&until_ready(&mut socket).await);
    drop(socket);
    server.delete(&format!("/api/conversations/{id}")).await;
    server.create_from(body).await;
    let mut socket = stream(&server, &format!("cursor={had}")).await;
    let frames = socket.until(is("created")).await;
    let told: Vec<_> = frames.iter().map(|frame| frame["type"].as_str().unwrap()).collect();
    assert_eq!(told, ["resumed", "deleted", "created"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_socket_takes_keys_as_others_and_no_messages() {
    let server = start_keyed().await;
    let mut socket = stream(&server, "").await;
    socket.send(json!({"type": "auth", "session_api_key": KEY}).to_string()).await;
    until_ready(&mut socket).await;
    socket.send(r#"{"role":"user","content":"hi"}"#).await;
    let refused = socket.next().await;
    assert_eq!((&refused["type"], &refused["code"]), (&json!("error"), &json!("ValueError")));
    until_ready(&mut stream(&server, &format!("session_api_key={KEY}")).await).await;
    let url = format!("ws://{}{PATH}?session_api_key=bad", server.address);
    assert_eq!(Socket::refusal(&url).await, 403);
    let url = format!("ws://{}{PATH}?session_api_key={KEY}&events=perhaps", server.address);
    assert_eq!(Socket::refusal(&url).await, 403);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_has_so_many_streams_and_a_place_is_free_when_one_ends() {
    let server = start_with(|config| config.limits.streams_per_tenant = 1).await;
    let mut socket = stream(&server, "").await;
    until_ready(&mut socket).await;
    assert_eq!(stream(&server, "").await.close_code().await, 1013);
    assert_eq!(server.fetch("/api/conversations/stream").await.status(), 429);
    drop(socket);
    testing::until(async || {
        let mut socket = stream(&server, "").await;
        socket.next_or_end().await.is_some()
    })
    .await;
    let lines = testing::eventually("a place", async || {
        let answer = server.fetch("/api/conversations/stream").await;
        (answer.status() == 200).then_some(answer)
    })
    .await;
    drop(lines);
    testing::until(async || server.fetch("/api/conversations/stream").await.status() == 200).await;
}

/// Server-sent events: the id and the data of each.
struct Lines {
    answer: reqwest::Response,
    text: String,
}

impl Lines {
    async fn open(client: &Client, query: &str, last: Option<&str>) -> Self {
        let mut request = client.request(Method::GET, &format!("/api/conversations/stream?{query}"));
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream; charset=utf-8");
        Self { answer, text: String::new() }
    }

    async fn next(&mut self) -> (Option<String>, Value) {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
                let Some(data) = field("data: ") else { continue };
                return (field("id: ").map(str::to_owned), serde_json::from_str(data).unwrap());
            }
            let chunk =
                tokio::time::timeout(testing::PATIENCE, self.answer.chunk()).await.expect("nothing came");
            self.text += str::from_utf8(&chunk.unwrap().expect("the stream ended")).unwrap();
        }
    }

    async fn until(&mut self, kind: &str) -> (Option<String>, Value) {
        loop {
            let (id, data) = self.next().await;
            if data["type"] == kind {
                return (id, data);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_sent_events_tell_the_same_and_go_on_after_the_last_one_that_was_read() {
    let server = start().await;
    let id = server.create().await;
    let mut lines = Lines::open(&server, "events=true", None).await;
    assert_eq!(lines.next().await.1["type"], "reset");
    lines.until("ready").await;
    server.say(&id, "one", false).await;
    let (last, event) = lines.until("event").await;
    assert_eq!(event["event"]["llm_message"]["content"][0]["text"], "one");
    assert!(event.get("cursor").is_none());
    drop(lines);
    let mut lines = Lines::open(&server, "events=true&cursor=old", last.as_deref()).await;
    assert_eq!(lines.next().await.1["type"], "resumed");
    let (_, event) = lines.until("event").await;
    assert_eq!(event["event"]["key"], "last_user_message_id", "what follows the one that was read");
    let (status, refused) = server.get("/api/conversations/stream?events=perhaps").await;
    assert_eq!((status, &refused["detail"][0]["loc"]), (422, &json!(["query", "events"])));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_end_when_the_server_stops() {
    let server = start().await;
    let mut socket = stream(&server, "").await;
    until_ready(&mut socket).await;
    let mut lines = Lines::open(&server, "", None).await;
    lines.until("ready").await;
    server.begin_stop();
    assert_eq!(socket.close_code().await, 1012);
    let rest = tokio::time::timeout(testing::PATIENCE, lines.answer.chunk()).await.expect("it goes on");
    assert!(!matches!(rest, Ok(Some(_))), "{rest:?}");
}

/// Reads nothing until much more has happened than its socket and its queue can hold.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_gets_all_events_and_holds_up_nobody() {
    let server = start().await;
    let id = server.create().await;
    let mut slow = stream(&server, "events=true").await;
    until_ready(&mut slow).await;
    let mut quick = stream(&server, "events=true").await;
    until_ready(&mut quick).await;
    let events: Vec<_> = (0..3_000).map(|n| agent_message(&format!("{n} {}", "x".repeat(8_000)))).collect();
    server.worker.append_events(id.parse().unwrap(), events.clone(), 100).await;
    for socket in [&mut quick, &mut slow] {
        let frames = socket.until(|frame| frame["seq"] == 2_999).await;
        let told: Vec<_> =
            events_of(&frames, &id).iter().map(|frame| frame["seq"].as_u64().unwrap()).collect();
        assert_eq!(told, (0..3_000).collect::<Vec<_>>());
    }
}
