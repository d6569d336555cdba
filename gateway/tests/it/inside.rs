//! What clients are told of failures inside: nothing of the inside.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::kit::{Server, start};
use crate::running::{Replica, config};
use crate::tokens::{body_for, operations, path_for};
use async_trait::async_trait;
use bytes::Bytes;
use ports::{
    Appended, Bus, Changes, Error, EventLog, Expect, Kv, KvEntry, Parcel, Ports, Record, Result, Scan,
    Subscription,
};
use reqwest::Method;
use serde_json::Value;
use types::{BashScope, LogId, SandboxId, Seq};

/// As errors of a store or a bus may read.
const INSIDE: &str = "io error at /srv/secret-disk: os error 5; $KV.SECRET; nats://10.0.0.7:4222";

/// Stores and a bus that fail when they are told to.
#[derive(Clone)]
struct Failing {
    ports: Ports,
    error: Arc<Mutex<Option<Error>>>,
}

impl Failing {
    fn now(&self) -> Result<()> {
        self.error.lock().unwrap().clone().map_or(Ok(()), Err)
    }

    fn ports(&self) -> Ports {
        let all = Arc::new(self.clone());
        Ports { bus: all.clone(), log: all.clone(), kv: all }
    }
}

#[async_trait]
impl Bus for Failing {
    async fn publish(&self, subject: &str, parcel: Parcel) -> Result<()> {
        self.now()?;
        self.ports.bus.publish(subject, parcel).await
    }

    async fn request(&self, subject: &str, parcel: Parcel, deadline: Duration) -> Result<Parcel> {
        self.now()?;
        self.ports.bus.request(subject, parcel, deadline).await
    }

    async fn subscribe(&self, pattern: &str, group: Option<&str>) -> Result<Subscription> {
        self.now()?;
        self.ports.bus.subscribe(pattern, group).await
    }
}

#[async_trait]
impl EventLog for Failing {
    async fn append(&self, log: &LogId, after: Seq, records: Vec<Bytes>) -> Result<Appended> {
        self.now()?;
        self.ports.log.append(log, after, records).await
    }

    async fn read(&self, log: &LogId, after: Seq, limit: usize) -> Result<Vec<Record>> {
        self.now()?;
        self.ports.log.read(log, after, limit).await
    }

    async fn tail(&self, log: &LogId) -> Result<Seq> {
        self.now()?;
        self.ports.log.tail(log).await
    }

    async fn delete(&self, log: &LogId) -> Result<()> {
        self.now()?;
        self.ports.log.delete(log).await
    }

    async fn truncate_before(&self, log: &LogId, first_kept: Seq) -> Result<()> {
        self.now()?;
        self.ports.log.truncate_before(log, first_kept).await
    }

    async fn bash_logs(&self, sandbox: &SandboxId) -> Result<Vec<BashScope>> {
        self.now()?;
        self.ports.log.bash_logs(sandbox).await
    }
}

#[async_trait]
impl Kv for Failing {
    async fn get(&self, bucket: &str, key: &str) -> Result<Option<KvEntry>> {
        self.now()?;
        self.ports.kv.get(bucket, key).await
    }

    async fn put(&self, bucket: &str, key: &str, value: Bytes, expect: Expect) -> Result<u64> {
        self.now()?;
        self.ports.kv.put(bucket, key, value, expect).await
    }

    async fn delete(&self, bucket: &str, key: &str, expect: Expect) -> Result<()> {
        self.now()?;
        self.ports.kv.delete(bucket, key, expect).await
    }

    fn scan<'a>(&'a self, bucket: &'a str) -> Scan<'a> {
        match self.now() {
            Ok(()) => self.ports.kv.scan(bucket),
            Err(error) => Box::pin(futures_util::stream::iter([Err(error)])),
        }
    }

    async fn watch(&self, bucket: &str) -> Result<Changes> {
        self.now()?;
        self.ports.kv.watch(bucket).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_fails_inside_no_answer_holds_a_text_of_the_inside() {
    let server = start().await;
    let id = server.create().await;
    let failing = Failing { ports: server.ports.clone(), error: Arc::default() };
    let replica = Replica::start(failing.ports(), config()).await;
    let known = format!("/api/conversations/{id}");
    testing::until(async || call(&server, &replica, &Method::GET, &known, None).await.0 == 200).await;

    let (_, document) = server.get("/openapi.json").await;
    let mut named = operations(&document);
    // The one that leaves nothing to be found comes last.
    named.sort_by_key(|(method, path)| method == Method::DELETE && path.ends_with("_id}"));
    let inside = || INSIDE.to_owned();
    for error in [Error::Unavailable(inside()), Error::Internal(inside()), Error::TooLarge(inside())] {
        *failing.error.lock().unwrap() = Some(error.clone());
        let mut failures = 0;
        for (method, template) in &named {
            let body = body_for(method, template);
            let (status, answer) = call(&server, &replica, method, &path_for(template, &id), body).await;
            for part in ["secret-disk", "os error", "$KV", "nats", "10.0.0.7", "mh."] {
                assert!(!answer.contains(part), "{method} {template} under {error:?}: {status} {answer}");
            }
            failures += usize::from(matches!(status, 500.. | 413));
        }
        assert!(failures >= 20, "{failures} of {} calls have met {error:?}", named.len());
    }
}

async fn call(
    server: &Server,
    replica: &Replica,
    method: &Method,
    path: &str,
    body: Option<Value>,
) -> (u16, String) {
    let mut request = server.client.request(method.clone(), format!("http://{}{path}", replica.address));
    if let Some(body) = body {
        request = request.json(&body);
    }
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap_or_default())
}
