//! The streams and buckets of a cluster, and a look at all that is in them.

use async_nats::jetstream::stream::Config;
use async_nats::jetstream::{self, Context, kv, object_store, stream};
use futures_util::TryStreamExt;

pub const PARTITIONS: usize = 4;

/// Each part writes what it may.
pub struct Store {
    gateway: Context,
    supervisor: Context,
}

impl Store {
    /// Makes them, each with something of sandbox `v` in it.
    pub async fn make(gateway: &async_nats::Client, supervisor: &async_nats::Client) -> Self {
        let store =
            Self { gateway: jetstream::new(gateway.clone()), supervisor: jetstream::new(supervisor.clone()) };
        for p in 0..PARTITIONS {
            let republish = stream::Republish {
                source: format!("mh.evt.{p}.*.*"),
                destination: "mh.pub.evt.{{wildcard(1)}}.{{wildcard(2)}}".to_owned(),
                headers_only: false,
            };
            let config = Config {
                name: format!("EVENTS_{p}"),
                subjects: vec![format!("mh.evt.{p}.>")],
                republish: Some(republish),
                allow_direct: true,
                ..Config::default()
            };
            store.gateway.create_stream(config).await.unwrap();
            store.put(format!("mh.evt.{p}.v.log"), "kept").await;
        }
        for bucket in buckets() {
            let config = kv::Config { bucket: bucket.to_owned(), ..kv::Config::default() };
            store.gateway.create_key_value(config).await.unwrap();
            store.put(format!("$KV.{bucket}.v"), "kept").await;
        }
        let blobs = object_store::Config { bucket: "BLOBS".to_owned(), ..object_store::Config::default() };
        let blobs = store.gateway.create_object_store(blobs).await.unwrap();
        blobs.put("v", &mut "kept".as_bytes()).await.unwrap();
        store
    }

    pub async fn put(&self, subject: String, value: &'static str) {
        let is_supervisors = subject.starts_with("$KV.ALLOCATIONS.");
        let context = if is_supervisors { &self.supervisor } else { &self.gateway };
        context.publish(subject, value.into()).await.unwrap().await.unwrap();
    }

    /// Every stream with its settings, consumers and messages, as text, after all that was sent is in.
    pub async fn contents(&self) -> Vec<String> {
        // Streams work off their queues in order. An acknowledgement may itself be queued: hence twice.
        for subject in sentinels().chain(sentinels()) {
            self.put(subject, SENTINEL).await;
        }
        let mut names: Vec<String> = self.gateway.stream_names().try_collect().await.unwrap();
        names.sort();
        let mut all = Vec::new();
        for name in names {
            let mut stream = self.gateway.get_stream(&name).await.unwrap();
            let mut info = stream.info().await.unwrap().clone();
            info.config.metadata.clear();
            all.push(format!("{name} {:?} consumers {}", info.config, info.state.consumer_count));
            for seq in info.state.first_sequence..=info.state.last_sequence {
                let Ok(message) = stream.get_raw_message(seq).await else { continue };
                if message.payload != SENTINEL {
                    all.push(format!("{name} {} {:?}", message.subject, message.payload));
                }
            }
        }
        all
    }
}

pub fn buckets() -> impl Iterator<Item = &'static str> {
    ports::buckets::ALL.into_iter().chain(["CLUSTER"])
}

/// The names of all streams.
pub fn streams() -> Vec<String> {
    let events = (0..PARTITIONS).map(|p| format!("EVENTS_{p}"));
    events.chain(buckets().map(|b| format!("KV_{b}"))).chain(["OBJ_BLOBS".to_owned()]).collect()
}

const SENTINEL: &str = "sentinel";

fn sentinels() -> impl Iterator<Item = String> {
    let events = (0..PARTITIONS).map(|p| format!("mh.evt.{p}.sentinel.log"));
    let buckets = buckets().map(|b| format!("$KV.{b}.sentinel"));
    events.chain(buckets).chain(["$O.BLOBS.M.sentinel".to_owned()])
}
