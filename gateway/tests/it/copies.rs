//! What others do while a conversation is copied.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::join_all;
use parking_lot::Mutex;
use ports::doubles::{KvDouble, LogDouble};
use ports::{Appended, Error, EventLog, Expect, Kv, Ports, Record, Result};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use types::buckets::CONVERSATIONS;
use types::{ConversationId, LogId, SandboxId, Seq};

use crate::harness::events::agent_message;
use crate::harness::{Client, Gateway, Server, config, create_body, start, until};

pub const COPY: &str = "00000000-0000-4000-8000-000000000002";

pub fn id_of(text: &str) -> ConversationId {
    text.parse().unwrap()
}

pub fn log_of(id: &str) -> LogId {
    LogId::conversation(&SandboxId::shared(), id_of(id))
}

type Work = futures_util::future::BoxFuture<'static, ()>;

/// Has something done in the moment before a copy is written to, or its source is read.
struct Meanwhile {
    log: Arc<dyn EventLog>,
    /// How often it is written to before.
    appends: AtomicUsize,
    before_append: Mutex<Option<Work>>,
    before_read: Mutex<Option<(LogId, Work)>>,
    /// Whether the next answer about what is copied is lost.
    loses: AtomicBool,
}

#[async_trait]
impl LogDouble for Meanwhile {
    fn inner(&self) -> Result<&dyn EventLog> {
        Ok(self.log.as_ref())
    }

    async fn append(&self, log: &LogId, after: Seq, records: Vec<Bytes>) -> Result<Appended> {
        let is_now = *log == log_of(COPY) && self.appends.fetch_sub(1, Ordering::SeqCst) == 0;
        let work = self.before_append.lock().take_if(|_| is_now);
        if let Some(work) = work {
            work.await;
        }
        let appended = self.log.append(log, after, records).await;
        match *log == log_of(COPY) && self.loses.swap(false, Ordering::SeqCst) {
            true => Err(Error::Unavailable("the answer is lost".to_owned())),
            false => appended,
        }
    }

    async fn read(&self, log: &LogId, after: Seq, limit: usize) -> Result<Vec<Record>> {
        let work = self.before_read.lock().take_if(|(of, _)| of == log);
        if let Some((_, work)) = work {
            work.await;
        }
        self.log.read(log, after, limit).await
    }
}

/// Stores what it is given, and loses the answer about the record of a copy once.
struct Unheard {
    kv: Arc<dyn Kv>,
    loses: AtomicBool,
    /// What is done before the next record is stored.
    before_put: Mutex<Option<Work>>,
}

#[async_trait]
impl KvDouble for Unheard {
    fn inner(&self) -> Result<&dyn Kv> {
        Ok(self.kv.as_ref())
    }

    async fn put(&self, bucket: &str, key: &str, value: Bytes, expect: Expect) -> Result<u64> {
        let work = self.before_put.lock().take_if(|_| bucket == CONVERSATIONS);
        if let Some(work) = work {
            work.await;
        }
        let stored = self.kv.put(bucket, key, value, expect).await;
        match bucket == CONVERSATIONS && key == id_of(COPY).hex() && self.loses.swap(false, Ordering::SeqCst)
        {
            true => Err(Error::Unavailable("the answer is lost".to_owned())),
            false => stored,
        }
    }
}

/// A server, and a gateway on its store of which the copies can be met on their way.
struct World {
    server: Server,
    gateway: Gateway,
    meanwhile: Arc<Meanwhile>,
    unheard: Arc<Unheard>,
    source: String,
}

impl World {
    /// With a conversation of two events.
    async fn of(body: Value) -> Self {
        let server = start().await;
        let meanwhile = Arc::new(Meanwhile {
            log: server.ports.log.clone(),
            appends: AtomicUsize::default(),
            before_append: Mutex::default(),
            before_read: Mutex::default(),
            loses: AtomicBool::default(),
        });
        let unheard = Arc::new(Unheard {
            kv: server.ports.kv.clone(),
            loses: AtomicBool::default(),
            before_put: Mutex::default(),
        });
        let ports = Ports { log: meanwhile.clone(), kv: unheard.clone(), ..server.ports.clone() };
        let gateway = Gateway::start(ports, config()).await;
        let source = gateway.create_from(body).await;
        let events = vec![agent_message("first"), agent_message("second")];
        server.worker.append_events(id_of(&source), events, 2).await;
        until(async || count(&gateway, &source).await == 2).await;
        Self { server, gateway, meanwhile, unheard, source }
    }

    /// Has this done before the copy is written to for the time after `appends`.
    fn before_append(&self, appends: usize, work: impl Future<Output = ()> + Send + 'static) {
        self.meanwhile.appends.store(appends, Ordering::SeqCst);
        *self.meanwhile.before_append.lock() = Some(Box::pin(work));
    }

    fn client(&self) -> Client {
        Client::of(self.gateway.address.clone())
    }

    /// Of the other gateway.
    fn other(&self) -> Client {
        Client::of(self.server.address.clone())
    }

    async fn fork(&self) -> (u16, Value) {
        let path = format!("/api/conversations/{}/fork", self.source);
        self.gateway.post(&path, json!({ "id": COPY })).await
    }
}

pub async fn count(client: &Client, id: &str) -> u64 {
    let (_, count) = client.get(&format!("/api/conversations/{id}/events/count")).await;
    count.as_u64().unwrap_or_default()
}

pub fn with_the_id_of_the_copy() -> Value {
    let mut body = create_body();
    body["conversation_id"] = COPY.into();
    body
}

/// Creates the conversation, and puts the status somewhere.
fn create(client: Client) -> (Arc<Mutex<u16>>, impl Future<Output = ()> + Send + 'static) {
    let status = Arc::new(Mutex::default());
    let told = status.clone();
    let creating = async move {
        *told.lock() = client.post("/api/conversations", with_the_id_of_the_copy()).await.0;
    };
    (status, creating)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_that_was_made_before_a_copy_is_begun_has_its_id() {
    let world = World::of(create_body()).await;
    let (created, creating) = create(world.other());
    world.before_append(0, creating);
    let (status, refused) = world.fork().await;
    assert_eq!((status, *created.lock()), (409, 201), "{refused}");
    assert_eq!(count(&world.gateway, COPY).await, 0, "nothing of the source is in it");
    assert_eq!(world.gateway.info(COPY).await["forked_from_conversation_id"], Value::Null);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_conversation_is_copied_none_is_made_under_the_id_of_the_copy() {
    let world = World::of(create_body()).await;
    let (created, creating) = create(world.client());
    world.before_append(1, creating);
    let (status, made) = world.fork().await;
    assert_eq!((status, *created.lock()), (201, 503), "{made}");
    assert_eq!(count(&world.gateway, COPY).await, 2);
    assert_eq!(made["forked_from_conversation_id"], json!(world.source));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_another_has_written_into_is_left_to_him() {
    let world = World::of(create_body()).await;
    let log = world.server.ports.log.clone();
    let written = async move {
        let tail = log.tail(&log_of(COPY)).await.unwrap();
        log.append(&log_of(COPY), tail, vec![r#"{"control":{"type":"fence","epoch":9}}"#.into()])
            .await
            .unwrap();
    };
    world.before_append(1, written);
    let (status, _) = world.fork().await;
    assert_eq!(status, 503);
    assert_eq!(world.server.ports.log.read(&log_of(COPY), Seq::ZERO, 10).await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_conversation_that_is_deleted_meanwhile_there_is_no_copy() {
    let world = World::of(create_body()).await;
    let (client, path) = (world.client(), format!("/api/conversations/{}", world.source));
    let deleted = async move { assert_eq!(client.delete(&path).await.0, 200) };
    *world.meanwhile.before_read.lock() = Some((log_of(&world.source), Box::pin(deleted)));
    assert_eq!(world.fork().await.0, 404);
    until(async || world.gateway.get("/api/conversations/count").await.1 == 0).await;
    assert_eq!(world.server.ports.log.tail(&log_of(COPY)).await.unwrap(), Seq::ZERO, "nothing is left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_copy_works_in_a_working_tree_that_went_with_its_source() {
    let mut body = create_body();
    body["workspace"]["working_dir"] = "/repository/a".into();
    body["worktree"] = true.into();
    let world = World::of(body).await;
    let (client, path) = (world.client(), format!("/api/conversations/{}", world.source));
    let deleted = async move { assert_eq!(client.delete(&path).await.0, 200) };
    world.before_append(1, deleted);
    assert_eq!(world.fork().await.0, 404);
    until(async || world.gateway.get("/api/conversations/count").await.1 == 0).await;
}

/// Another gateway has stored it, and has not looked yet whether one is copied there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_is_withdrawn_takes_no_id_from_a_copy() {
    // Before the copy is begun, and after that.
    for append in 0..2 {
        a_record_that_is_withdrawn(append).await;
    }
}

async fn a_record_that_is_withdrawn(append: usize) {
    let world = World::of(create_body()).await;
    let (kv, source) = (world.server.ports.kv.clone(), world.source.clone());
    let key = id_of(COPY).hex();
    let stored = async move {
        let record = kv.get(CONVERSATIONS, &id_of(&source).hex()).await.unwrap().unwrap();
        let mut record: Value = serde_json::from_slice(&record.value).unwrap();
        record["id"] = COPY.into();
        kv.put(CONVERSATIONS, &key, record.to_string().into(), Expect::Absent).await.unwrap();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(300)).await;
            kv.delete(CONVERSATIONS, &key, Expect::Anything).await.unwrap();
        });
    };
    world.before_append(append, stored);
    let (status, made) = world.fork().await;
    assert_eq!((status, count(&world.gateway, COPY).await), (201, 2), "{append}: {made}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_lost_ends_no_copying_and_doubles_nothing() {
    for append in 0..2 {
        let world = World::of(create_body()).await;
        let meanwhile = world.meanwhile.clone();
        world.before_append(append, async move { meanwhile.loses.store(true, Ordering::SeqCst) });
        let (status, made) = world.fork().await;
        assert_eq!((status, count(&world.gateway, COPY).await), (201, 2), "{made}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_whose_record_is_stored_is_made_also_where_the_answer_is_lost() {
    let world = World::of(create_body()).await;
    world.unheard.loses.store(true, Ordering::SeqCst);
    let (status, made) = world.fork().await;
    assert_eq!((status, count(&world.gateway, COPY).await), (201, 2), "{made}");
}

/// Two gateways copy to one id, and the store gives one of them no answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_fails_to_begin_a_copy_removes_nothing_of_the_one_that_another_has_begun() {
    let world = World::of(create_body()).await;
    let (log, meanwhile) = (world.server.ports.log.clone(), world.meanwhile.clone());
    let begun = async move {
        let mark = r#"{"control":{"type":"forked","at":1,"by":"00000000-0000-4000-8000-00000000000a"}}"#;
        log.append(&log_of(COPY), Seq::ZERO, vec![mark.into(), "{}".into()]).await.unwrap();
        meanwhile.loses.store(true, Ordering::SeqCst);
    };
    world.before_append(0, begun);
    let (status, _) = world.fork().await;
    assert_eq!(status, 503);
    assert_eq!(world.server.ports.log.read(&log_of(COPY), Seq::ZERO, 10).await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_has_lost_its_front_is_none() {
    let world = World::of(create_body()).await;
    let (log, meanwhile) = (world.server.ports.log.clone(), world.meanwhile.clone());
    let cut = async move {
        let tail = log.tail(&log_of(COPY)).await.unwrap();
        log.truncate_before(&log_of(COPY), tail).await.unwrap();
    };
    // When all of it is stored.
    world
        .before_append(1, async move { *meanwhile.before_read.lock() = Some((log_of(COPY), Box::pin(cut))) });
    let (status, made) = world.fork().await;
    assert_eq!(status, 503, "{made}");
    // Lists follow the records.
    until(async || world.gateway.get("/api/conversations/count").await.1 == json!(1)).await;
    let (status, made) = world.gateway.post("/api/conversations", with_the_id_of_the_copy()).await;
    assert_eq!((status, count(&world.gateway, COPY).await), (201, 0), "{made}");
    let left = world.server.ports.log.read(&log_of(COPY), Seq::ZERO, 10).await.unwrap();
    assert!(left.iter().all(|record| !record.payload.windows(6).any(|text| text == b"forked")), "{left:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copying_ends_when_the_server_stops_and_leaves_nothing() {
    let world = World::of(create_body()).await;
    let (begun, reached) = oneshot::channel();
    world.before_append(1, async move {
        begun.send(()).unwrap();
        std::future::pending::<()>().await;
    });
    let stopping = async {
        reached.await.unwrap();
        world.gateway.begin_stop();
    };
    let ((status, _), ()) = tokio::join!(world.fork(), stopping);
    assert_eq!(status, 503);
    assert_eq!(world.server.ports.log.tail(&log_of(COPY)).await.unwrap(), Seq::ZERO);
}

/// Else the copy would ask the earlier model about thoughts that the later one has signed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_has_the_model_that_its_source_has_when_all_is_copied() {
    let world = World::of(create_body()).await;
    let (client, path) = (world.client(), format!("/api/conversations/{}/switch_llm", world.source));
    let (worker, source) = (world.server.worker.clone(), id_of(&world.source));
    let switched = async move {
        let llm = json!({"llm": {"model": "openai/later", "api_key": "sk-later"}});
        assert_eq!(client.post(&path, llm).await.0, 200);
        worker.append_events(source, vec![agent_message("to the later one")], 1).await;
    };
    world.before_append(1, switched);
    let (status, made) = world.fork().await;
    assert_eq!(status, 201, "{made}");
    let copy = world.server.worker.working_copy(id_of(COPY)).await;
    assert_eq!(
        (&copy.agent["llm"]["model"], &copy.agent["llm"]["api_key"]),
        (&json!("openai/later"), &json!("sk-later"))
    );
    assert_eq!(count(&world.gateway, COPY).await, 3, "what told its source of the later one is in it, too");
}

/// So a copy with the record of the later model knows of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_names_a_model_only_when_the_log_does() {
    let world = World::of(create_body()).await;
    let (worker, is_told) = (world.server.worker.clone(), Arc::new(AtomicBool::default()));
    let told = is_told.clone();
    *world.unheard.before_put.lock() = Some(Box::pin(async move {
        let has =
            worker.seen().iter().any(|command| matches!(command, types::calls::Command::SwitchLlm { .. }));
        told.store(has, Ordering::SeqCst);
    }));
    let path = format!("/api/conversations/{}/switch_llm", world.source);
    let (status, answer) = world.gateway.post(&path, json!({"llm": {"model": "openai/later"}})).await;
    assert_eq!(status, 200, "{answer}");
    assert!(is_told.load(Ordering::SeqCst));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_has_so_many_copied_at_once() {
    let world = World::of(create_body()).await;
    let (begun, reached) = oneshot::channel();
    let (go_on, held) = oneshot::channel::<()>();
    world.before_append(1, async move {
        begun.send(()).unwrap();
        held.await.unwrap();
    });
    let path = format!("/api/conversations/{}/fork", world.source);
    let others = async {
        reached.await.unwrap();
        // They wait for the id.
        let waiting = join_all((0..8).map(|_| world.gateway.post(&path, json!({ "id": COPY }))));
        let statuses = waiting.await.into_iter().filter(|(status, _)| *status == 429).count();
        go_on.send(()).unwrap();
        statuses
    };
    let ((status, _), refused) = tokio::join!(world.fork(), others);
    assert_eq!((status, refused), (201, 1));
}
