//! What a copying that was cut off leaves, and who has the id of the copy then.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use control::conversations::COPIES_LEFT_AFTER;
use control::placement::Policy;
use parking_lot::Mutex;
use ports::doubles::{KvDouble, LogDouble};
use ports::{Error, EventLog, Expect, Extent, Kv, Ports, Result};
use serde_json::{Value, json};
use types::buckets::{CONVERSATIONS, IDEMPOTENCY};
use types::time::unix_ms;
use types::{LogId, Seq};

use crate::copies::{COPY, count, id_of, log_of, with_the_id_of_the_copy};
use crate::harness::events::agent_message;
use crate::harness::{
    Gateway, Server, cluster, config, create_body, eventually, start, status_and_json, until,
};

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

/// A store of one process whose disk does not answer: what it was to store is stored as soon as it does, before anything else.
struct Stalled {
    kv: Arc<dyn Kv>,
    log: Arc<dyn EventLog>,
    is_stalled: AtomicBool,
    queued: Mutex<Option<(Bytes, Expect)>>,
}

impl Stalled {
    async fn go_on(&self) {
        let queued = self.queued.lock().take();
        if let Some((value, expect)) = queued {
            self.kv.put(CONVERSATIONS, &id_of(COPY).hex(), value, expect).await.unwrap();
        }
    }
}

struct StalledKv(Arc<Stalled>);
struct StalledLog(Arc<Stalled>);

#[async_trait]
impl KvDouble for StalledKv {
    fn inner(&self) -> Result<&dyn Kv> {
        Ok(self.0.kv.as_ref())
    }

    async fn put(&self, bucket: &str, key: &str, value: Bytes, expect: Expect) -> Result<u64> {
        if self.0.is_stalled.load(Ordering::SeqCst) && bucket == CONVERSATIONS && key == id_of(COPY).hex() {
            self.0.queued.lock().get_or_insert((value, expect));
            return Err(Error::Unavailable("the disk does not answer".to_owned()));
        }
        self.0.go_on().await;
        self.0.kv.put(bucket, key, value, expect).await
    }

    async fn delete(&self, bucket: &str, key: &str, expect: Expect) -> Result<()> {
        self.0.go_on().await;
        self.0.kv.delete(bucket, key, expect).await
    }
}

#[async_trait]
impl LogDouble for StalledLog {
    fn inner(&self) -> Result<&dyn EventLog> {
        Ok(self.0.log.as_ref())
    }

    async fn remove(&self, log: &LogId, extent: Extent) -> Result<()> {
        self.0.go_on().await;
        self.0.log.remove(log, extent).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_whose_record_is_stored_late_keeps_its_log() {
    let server = start().await;
    let (kv, log) = (server.ports.kv.clone(), server.ports.log.clone());
    let stalled = Arc::new(Stalled { kv, log, is_stalled: AtomicBool::new(true), queued: Mutex::default() });
    let (kv, log) = (Arc::new(StalledKv(stalled.clone())), Arc::new(StalledLog(stalled.clone())));
    let gateway = Gateway::start(Ports { kv, log, ..server.ports.clone() }, config()).await;
    let source = gateway.create_from(create_body()).await;
    server.worker.append_events(id_of(&source), vec![agent_message("of the source")], 1).await;
    until(async || count(&gateway, &source).await == 1).await;
    let fork = format!("/api/conversations/{source}/fork");
    assert_eq!(gateway.post(&fork, json!({ "id": COPY })).await.0, 503);
    stalled.is_stalled.store(false, Ordering::SeqCst);
    let (status, there) = gateway.post("/api/conversations", with_the_id_of_the_copy()).await;
    assert_eq!((status, &there["forked_from_conversation_id"]), (200, &json!(source)), "{there}");
    assert_eq!(count(&gateway, COPY).await, 1);
}

/// Whoever has stored the record was killed before he looked whether there is a copy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_given_a_conversation_with_a_copy_of_another_one_in_it() {
    let copied = json!({"n": 0, "event": agent_message("of another")}).to_string();
    let fence = r#"{"control":{"type":"fence","epoch":1}}"#;
    // By clocks that are an hour behind or ahead, or of a release that says nothing.
    let [behind, ahead] = [unix_ms() - HOUR, unix_ms() + HOUR].map(begun_at);
    let (nameless, begun) = (r#"{"control":{"type":"forked"}}"#, r#"{"control":{"type":"fence","epoch":0}}"#);
    let whole = r#"{"control":{"type":"brought"}}"#;
    for (log, told, later) in [
        // The copy is made yet, or may be begun in a moment; later it is known that it was given up. Then the conversation is
        // made anew, unless something was done in it.
        (vec![behind.as_str(), copied.as_str()], 503, 201),
        (vec![behind.as_str()], 503, 200),
        (vec![ahead.as_str()], 503, 200),
        (vec![ahead.as_str(), fence, copied.as_str()], 200, 200),
        (vec![ahead.as_str(), copied.as_str(), ahead.as_str()], 503, 201),
        (vec![behind.as_str(), copied.as_str(), behind.as_str(), fence], 409, 409),
        (vec![nameless, copied.as_str(), nameless], 503, 201),
        // It is being brought, or was.
        (vec![begun], 200, 200),
        (vec![begun, fence, copied.as_str()], 200, 200),
        (vec![begun, copied.as_str()], 409, 409),
        (vec![begun, copied.as_str(), fence], 409, 409),
        (vec![begun, copied.as_str(), whole, fence], 200, 200),
    ] {
        let (world, source) = cut_off_in_a_cluster(SOON).await;
        world.ports.log.delete(&log_of(COPY)).await.unwrap();
        let record = world.ports.kv.get(CONVERSATIONS, &id_of(&source).hex()).await.unwrap().unwrap();
        let mut record: Value = serde_json::from_slice(&record.value).unwrap();
        record["id"] = COPY.into();
        let records = log.iter().map(|record| Bytes::from((*record).to_owned())).collect();
        world.ports.log.append(&log_of(COPY), Seq::ZERO, records).await.unwrap();
        let key = id_of(COPY).hex();
        world.ports.kv.put(CONVERSATIONS, &key, record.to_string().into(), Expect::Absent).await.unwrap();
        let mut body = cluster::create_body("/tmp/w");
        body["conversation_id"] = COPY.into();
        let create = async || world.gateway().post("/api/conversations", &body).await;
        let (status, answer) = create().await;
        assert_eq!(status, told, "{log:?}: {answer}");
        if later != told {
            until(async || create().await.0 == later).await;
        }
        if later == 201 {
            assert_eq!(count(world.gateway(), COPY).await, 0);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_that_is_being_brought_is_in_nobodys_hands() {
    let (world, source) = cut_off_in_a_cluster(SOON).await;
    world.ports.log.delete(&log_of(COPY)).await.unwrap();
    let begun = vec![r#"{"control":{"type":"fence","epoch":0}}"#.into()];
    world.ports.log.append(&log_of(COPY), Seq::ZERO, begun).await.unwrap();
    let mut body = cluster::create_body("/tmp/w");
    body["conversation_id"] = COPY.into();
    let fork = format!("/api/conversations/{source}/fork");
    assert_eq!(world.gateway().post("/api/conversations", &body).await.0, 503);
    assert_eq!(world.gateway().post(&fork, json!({ "id": COPY })).await.0, 503);
    assert_eq!(world.ports.log.read(&log_of(COPY), Seq::ZERO, 10).await.unwrap().len(), 1);
}

/// Whoever makes a copy gives up long before.
const SOON: Duration = Duration::from_millis(900);
/// In milliseconds.
const HOUR: u64 = 3_600_000;

async fn cluster_in_which_copies_are_left_after(time: Duration) -> cluster::World {
    let world =
        cluster::start_idle(Policy::Shared, 1, |config| config.control.copies_left_after = time).await;
    world.supervisor.begin().await;
    world
}

/// A cluster in which a copy was begun by a gateway that has died since.
async fn cut_off_in_a_cluster(left_after: Duration) -> (cluster::World, String) {
    let world = cluster_in_which_copies_are_left_after(left_after).await;
    let source = world.gateway().create_from(cluster::create_body("/tmp/w")).await;
    leave_mark(&world, COPY).await;
    (world, source)
}

/// Of a gateway whose clock is an hour behind.
async fn leave_mark(world: &cluster::World, id: &str) {
    let mark = begun_at(unix_ms() - HOUR);
    world.ports.log.append(&log_of(id), Seq::ZERO, vec![mark.into()]).await.unwrap();
}

fn begun_at(unix_ms: u64) -> String {
    json!({"control": {"type": "forked", "at": unix_ms}}).to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_copy_that_was_cut_off_nobody_is_told_that_it_exists() {
    let (world, source) = cut_off_in_a_cluster(COPIES_LEFT_AFTER).await;
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
    let (world, source) = cut_off_in_a_cluster(SOON).await;
    let fork = format!("/api/conversations/{source}/fork");
    let make = async || world.gateway().post(&fork, json!({ "id": COPY })).await.0;
    assert_eq!(make().await, 503, "it may be made yet, whenever it was begun by the clock of its maker");
    until(async || make().await == 201).await;

    let (world, _) = cut_off_in_a_cluster(SOON).await;
    let mut body = cluster::create_body("/tmp/w");
    body["conversation_id"] = COPY.into();
    let make = async || world.gateway().post("/api/conversations", &body).await.0;
    assert_eq!(make().await, 503);
    until(async || make().await == 201).await;
}

/// The first gateway that copied may only be slow.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fork_with_a_key_that_was_cut_off_makes_no_second_one() {
    let world = cluster_in_which_copies_are_left_after(SOON).await;
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
    leave_mark(&world, copy).await;
    assert_eq!(fork().await.0, 503);
    let again = eventually("nobody makes it any more", async || {
        let (status, again) = fork().await;
        (status == 201).then_some(again)
    });
    assert_eq!(again.await["id"], made["id"]);
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
