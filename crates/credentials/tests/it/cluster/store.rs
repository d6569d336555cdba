//! The streams and buckets of a cluster as the product makes them, and a look at all that is in them.

use async_nats::Client;
use nats::{Connection, Options};
use serde_json::{Value, json};
use types::buckets::{self, ALLOCATIONS, CLUSTER, LEASES};
use types::placement::Credentials;
use types::subjects::store::{self, BODY_STREAM};
use types::{ConversationId, LogId, SandboxId};

pub const PARTITIONS: usize = 4;

/// A part as the product connects it.
pub async fn connect(url: &str, name: &str, credentials: Credentials) -> Connection {
    let options = Options {
        urls: vec![url.to_owned()],
        credentials: Some(credentials),
        ca: None,
        servers: Vec::new(),
        name: name.to_owned(),
        inbox: None,
    };
    nats::connect(options).await.unwrap()
}

/// Each part writes what it may.
pub struct Store {
    gateway: Client,
    supervisor: Client,
    /// A log of sandbox `v`.
    pub log: LogId,
}

impl Store {
    /// What `set_up` made, each with something of sandbox `v` in it.
    pub async fn fill(gateway: &Client, supervisor: &Client) -> Self {
        let log = LogId::conversation(&SandboxId::parse("v").unwrap(), ConversationId::random());
        let store = Self { gateway: gateway.clone(), supervisor: supervisor.clone(), log };
        for subject in store.subjects() {
            store.put(subject, KEPT).await;
        }
        store
    }

    /// One of each stream.
    pub fn subjects(&self) -> Vec<String> {
        subjects_of(&self.log, "v")
    }

    pub async fn put(&self, subject: String, value: &'static str) {
        let is_supervisors = subject.starts_with(&store::key(ALLOCATIONS, ""));
        let client = if is_supervisors { &self.supervisor } else { &self.gateway };
        let answer = client.request(subject.clone(), value.into()).await.unwrap();
        let answer: Value = serde_json::from_slice(&answer.payload).unwrap();
        assert!(answer["error"].is_null(), "{subject}: {answer}");
    }

    /// Every stream with its settings, consumers and messages, as text, after all that was sent is in.
    pub async fn contents(&self) -> Vec<String> {
        // Streams work off their queues in order. An acknowledgement may itself be queued: hence twice.
        let sentinel = LogId::conversation(&SandboxId::parse("sentinel").unwrap(), ConversationId::random());
        for subject in [(); 2].into_iter().flat_map(|()| subjects_of(&sentinel, "sentinel")) {
            self.put(subject, SENTINEL).await;
        }
        let names = self.api("STREAM.NAMES".to_owned(), Value::Null).await;
        let mut names: Vec<String> = serde_json::from_value(names["streams"].clone()).unwrap();
        names.sort();
        let mut all = Vec::new();
        for name in names {
            let mut info = self.api(store::stream_info(&name), Value::Null).await;
            info["config"]["metadata"].take();
            all.push(format!("{name} {} consumers {}", info["config"], info["state"]["consumer_count"]));
            let position = |which: &str| info["state"][which].as_u64().unwrap();
            for seq in position("first_seq")..=position("last_seq") {
                let raw = self.api(format!("STREAM.MSG.GET.{name}"), json!({ "seq": seq })).await;
                all.extend(shown(&name, &raw["message"]));
            }
        }
        all
    }

    async fn api(&self, call: String, body: Value) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = self.gateway.request(store::api(&call), body.into()).await.unwrap();
        serde_json::from_slice(&answer.payload).unwrap()
    }
}

const KEPT: &str = "kept";
const SENTINEL: &str = "sentinel";

/// `None` for what the test itself or the server put: leases end by themselves, and leave a mark.
fn shown(stream: &str, message: &Value) -> Option<String> {
    use base64::Engine as _;
    let text = |field: &str| {
        let bytes = base64::engine::general_purpose::STANDARD.decode(message[field].as_str()?).ok()?;
        String::from_utf8(bytes).ok()
    };
    let subject = message["subject"].as_str()?;
    let payload = text("data").unwrap_or_default();
    let is_lease = stream == store::bucket_stream(LEASES);
    let is_mark = text("hdrs").is_some_and(|headers| headers.contains("Nats-Marker-Reason"));
    let is_expected = payload == SENTINEL || is_lease && (is_mark || payload == KEPT);
    (!is_expected).then(|| format!("{stream} {subject} {payload:?}"))
}

fn subjects_of(log: &LogId, key: &str) -> Vec<String> {
    let events = (0..PARTITIONS).map(|partition| store::events(partition, log));
    let keys = buckets().map(|bucket| store::key(bucket, key));
    events.chain(keys).chain([store::piece(log, "digest", 0)]).collect()
}

pub fn buckets() -> impl Iterator<Item = &'static str> {
    buckets::ALL.into_iter().chain([CLUSTER])
}

/// The names of all streams.
pub fn streams() -> Vec<String> {
    let events = (0..PARTITIONS).map(store::event_stream);
    events.chain(buckets().map(store::bucket_stream)).chain([BODY_STREAM.to_owned()]).collect()
}
