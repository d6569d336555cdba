//! What others do while a conversation is copied, and what a copying that was cut off leaves.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use ports::doubles::LogDouble;
use ports::{Appended, EventLog, Ports, Record, Result};
use serde_json::{Value, json};
use types::{ConversationId, LogId, SandboxId, Seq};

use crate::harness::events::agent_message;
use crate::harness::{Client, Gateway, Server, config, create_body, start, until};

const COPY: &str = "00000000-0000-4000-8000-000000000002";

fn id_of(text: &str) -> ConversationId {
    text.parse().unwrap()
}

fn log_of(id: &str) -> LogId {
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
        self.log.append(log, after, records).await
    }

    async fn read(&self, log: &LogId, after: Seq, limit: usize) -> Result<Vec<Record>> {
        let work = self.before_read.lock().take_if(|(of, _)| of == log);
        if let Some((_, work)) = work {
            work.await;
        }
        self.log.read(log, after, limit).await
    }
}

/// A server, and a gateway on its store of which the copies can be met on their way.
struct World {
    server: Server,
    gateway: Gateway,
    meanwhile: Arc<Meanwhile>,
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
        });
        let ports = Ports { log: meanwhile.clone(), ..server.ports.clone() };
        let gateway = Gateway::start(ports, config()).await;
        let source = gateway.create_from(body).await;
        let events = vec![agent_message("first"), agent_message("second")];
        server.worker.append_events(id_of(&source), events, 2).await;
        until(async || count(&gateway, &source).await == 2).await;
        Self { server, gateway, meanwhile, source }
    }

    /// Has this done before the copy is written to for the time after `appends`.
    fn before_append(&self, appends: usize, work: impl Future<Output = ()> + Send + 'static) {
        self.meanwhile.appends.store(appends, Ordering::SeqCst);
        *self.meanwhile.before_append.lock() = Some(Box::pin(work));
    }

    fn client(&self) -> Client {
        Client::of(self.gateway.address.clone())
    }

    async fn fork(&self) -> (u16, Value) {
        let path = format!("/api/conversations/{}/fork", self.source);
        self.gateway.post(&path, json!({ "id": COPY })).await
    }
}

async fn count(client: &Client, id: &str) -> u64 {
    let (_, count) = client.get(&format!("/api/conversations/{id}/events/count")).await;
    count.as_u64().unwrap_or_default()
}

fn with_the_id_of_the_copy() -> Value {
    let mut body = create_body();
    body["conversation_id"] = COPY.into();
    body
}

/// Creates the conversation, and puts the status somewhere.
fn create(world: &World) -> (Arc<Mutex<u16>>, impl Future<Output = ()> + Send + 'static) {
    let (status, client) = (Arc::new(Mutex::default()), world.client());
    let told = status.clone();
    let creating = async move {
        *told.lock() = client.post("/api/conversations", with_the_id_of_the_copy()).await.0;
    };
    (status, creating)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_that_was_made_before_a_copy_is_begun_has_its_id() {
    let world = World::of(create_body()).await;
    let (created, creating) = create(&world);
    world.before_append(0, creating);
    let (status, refused) = world.fork().await;
    assert_eq!((status, *created.lock()), (409, 201), "{refused}");
    assert_eq!(count(&world.gateway, COPY).await, 0, "nothing of the source is in it");
    assert_eq!(world.gateway.info(COPY).await["forked_from_conversation_id"], Value::Null);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_conversation_is_copied_none_is_made_under_the_id_of_the_copy() {
    let world = World::of(create_body()).await;
    let (created, creating) = create(&world);
    world.before_append(1, creating);
    let (status, made) = world.fork().await;
    assert_eq!((status, *created.lock()), (201, 409), "{made}");
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
    assert_eq!(status, 409);
    assert_eq!(world.server.ports.log.read(&log_of(COPY), Seq::ZERO, 10).await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_conversation_that_is_deleted_meanwhile_there_is_no_copy() {
    let world = World::of(create_body()).await;
    let (client, path) = (world.client(), format!("/api/conversations/{}", world.source));
    let deleted = async move { assert_eq!(client.delete(&path).await.0, 200) };
    *world.meanwhile.before_read.lock() = Some((log_of(&world.source), Box::pin(deleted)));
    assert_eq!(world.fork().await.0, 404);
    assert_eq!(world.gateway.get("/api/conversations/count").await.1, 0);
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
    assert_eq!(world.gateway.get("/api/conversations/count").await.1, 0);
}

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
