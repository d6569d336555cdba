//! A store that stops before one write, until it is told to go on, and can keep quiet about changes: so that a test decides
//! what happens in between.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use control::placement::Policy;
use futures_util::StreamExt;
use futures_util::future::ready;
use ports::doubles::KvDouble;
use ports::{Changes, Error, Expect, Kv, Ports, Result};
use tokio::sync::oneshot;

use super::cluster::{World, start_on};
use super::{Gateway, Server, config};

pub struct Stepped {
    inner: Arc<dyn Kv>,
    stop: Mutex<Option<Stop>>,
    /// A bucket of which the next write is refused.
    refusing: Mutex<Option<&'static str>>,
    silent: Arc<Mutex<Vec<&'static str>>>,
}

struct Stop {
    bucket: &'static str,
    text: String,
    reached: oneshot::Sender<()>,
    go_on: oneshot::Receiver<()>,
}

/// Where the store stops.
pub struct Stopped {
    reached: oneshot::Receiver<()>,
    go_on: oneshot::Sender<()>,
}

/// A cluster on such a store, whose sandboxes have no workers.
pub async fn idle(policy: Policy) -> (World, Arc<Stepped>) {
    let mut stepped = None;
    let wrap = |ports: &mut Ports| {
        let store = Stepped::new(ports.kv.clone());
        ports.kv = store.clone();
        stepped = Some(store);
    };
    let world = start_on(policy, 1, |_| {}, wrap).await;
    (world, stepped.unwrap())
}

/// One more gateway of a server, on such a store.
pub async fn beside(server: &Server) -> (Gateway, Arc<Stepped>) {
    let mut ports = server.ports.clone();
    let store = Stepped::new(ports.kv.clone());
    ports.kv = store.clone();
    (Gateway::start(ports, config()).await, store)
}

impl Stepped {
    fn new(inner: Arc<dyn Kv>) -> Arc<Self> {
        let (stop, refusing, silent) = (Mutex::default(), Mutex::default(), Arc::default());
        Arc::new(Self { inner, stop, refusing, silent })
    }

    /// Is away for the next write into `bucket`.
    pub fn refuse_once(&self, bucket: &'static str) {
        *self.refusing.lock().unwrap() = Some(bucket);
    }

    /// Nobody is told of changes in `bucket` any more.
    pub fn be_silent(&self, bucket: &'static str) {
        self.silent.lock().unwrap().push(bucket);
    }

    /// From now on everybody is told of changes again.
    pub fn be_heard(&self) {
        self.silent.lock().unwrap().clear();
    }

    /// Stops once, before a value with `text` in it is written into `bucket`, or a key with `text` in it is deleted there.
    pub fn stop_before(&self, bucket: &'static str, text: &str) -> Stopped {
        let ((told, reached), (go_on, going)) = (oneshot::channel(), oneshot::channel());
        let stop = Stop { bucket, text: text.to_owned(), reached: told, go_on: going };
        *self.stop.lock().unwrap() = Some(stop);
        Stopped { reached, go_on }
    }

    async fn pass(&self, bucket: &str, text: &str) {
        let is_it = |stop: &mut Stop| stop.bucket == bucket && text.contains(&stop.text);
        let stop = self.stop.lock().unwrap().take_if(is_it);
        if let Some(stop) = stop {
            stop.reached.send(()).unwrap();
            stop.go_on.await.unwrap();
        }
    }
}

impl Stopped {
    /// Does `work` while the store is stopped.
    pub async fn meanwhile(self, work: impl Future<Output = ()>) {
        tokio::time::timeout(testing::PATIENCE, self.reached).await.unwrap().unwrap();
        work.await;
        self.go_on.send(()).unwrap();
    }
}

#[async_trait]
impl KvDouble for Stepped {
    fn inner(&self) -> Result<&dyn Kv> {
        Ok(self.inner.as_ref())
    }

    async fn put(&self, bucket: &str, key: &str, value: Bytes, expect: Expect) -> Result<u64> {
        if self.refusing.lock().unwrap().take_if(|refusing| *refusing == bucket).is_some() {
            return Err(Error::Unavailable("away".to_owned()));
        }
        self.pass(bucket, &String::from_utf8_lossy(&value)).await;
        self.inner.put(bucket, key, value, expect).await
    }

    async fn delete(&self, bucket: &str, key: &str, expect: Expect) -> Result<()> {
        self.pass(bucket, key).await;
        self.inner.delete(bucket, key, expect).await
    }

    async fn watch(&self, bucket: &str) -> Result<Changes> {
        let (silent, bucket) = (self.silent.clone(), bucket.to_owned());
        let heard = self.inner.watch(&bucket).await?;
        Ok(heard.filter(move |_| ready(!silent.lock().unwrap().contains(&bucket.as_str()))).boxed())
    }
}
