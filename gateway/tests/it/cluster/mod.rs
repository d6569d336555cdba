//! Gateways of a cluster on loopback ports and one real store, with a stand-in for the supervisor: it starts
//! and stops scripted workers as the records say, and writes what supervisors and workers write.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use crate::running::Config;
use control::Mode;
use control::placement::{Cluster, Policy};
use futures_util::StreamExt;
use ports::{Expect, Ports};
use reqwest::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tempfile::TempDir;
pub use testing::until;
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use types::buckets::{ALLOCATIONS, CONVERSATIONS, LEASES, SANDBOXES};
use types::conversation::ConversationRecord;
use types::placement::{Allocation, Failure, FailureReason, Lease, Want, Wanted};
use types::{ConversationId, Epoch, SandboxId, time};

use crate::kit::script::Worker;

pub struct World {
    pub ports: Ports,
    pub supervisor: Supervisor,
    pub gateways: Vec<Gateway>,
    #[expect(dead_code, reason = "the store's folder lives as long as the world")]
    folder: TempDir,
    stop: CancellationToken,
    _store: embedded::Guard,
    _stop: DropGuard,
}

pub struct Gateway {
    pub address: String,
    client: reqwest::Client,
}

/// One gateway, and a supervisor that starts what is wanted.
pub async fn start(policy: Policy) -> World {
    let world = start_idle(policy, 1, |_| {}).await;
    world.supervisor.begin().await;
    world
}

/// Some gateways, and a supervisor that does nothing yet.
pub async fn start_idle(policy: Policy, gateways: usize, change: impl Fn(&mut Config)) -> World {
    start_on(policy, gateways, change, |_| {}).await
}

/// The same on changed ports.
pub async fn start_on(
    policy: Policy,
    gateways: usize,
    change: impl Fn(&mut Config),
    wrap: impl FnOnce(&mut Ports),
) -> World {
    let folder = tempfile::tempdir().unwrap();
    let (mut ports, store) = crate::running::open(folder.path()).await;
    wrap(&mut ports);
    let stop = CancellationToken::new();
    let supervisor = Supervisor::new(&ports, &stop);
    let mut world = World {
        ports,
        supervisor,
        gateways: Vec::new(),
        folder,
        stop: stop.clone(),
        _store: store,
        _stop: stop.clone().drop_guard(),
    };
    for _ in 0..gateways {
        let mut config = crate::running::config();
        config.control.mode = Mode::Cluster(cluster(policy));
        change(&mut config);
        world.gateways.push(Gateway::start(&world.ports, config, &stop).await);
    }
    world
}

fn cluster(policy: Policy) -> Cluster {
    let (root, patience) = ("/workspace".into(), Duration::from_secs(10));
    Cluster { policy, root, patience, private_model_hosts: true }
}

impl World {
    pub fn gateway(&self) -> &Gateway {
        &self.gateways[0]
    }

    /// One more gateway.
    pub async fn add_gateway(&mut self, policy: Policy) {
        let mut config = crate::running::config();
        config.control.mode = Mode::Cluster(cluster(policy));
        self.gateways.push(Gateway::start(&self.ports, config, &self.stop).await);
    }

    pub async fn read<T: DeserializeOwned>(&self, bucket: &str, key: &str) -> Option<T> {
        let entry = self.ports.kv.get(bucket, key).await.unwrap()?;
        Some(serde_json::from_slice(&entry.value).unwrap())
    }

    pub async fn wanted(&self, sandbox: &SandboxId) -> Option<Wanted> {
        self.read(SANDBOXES, sandbox.as_str()).await
    }

    pub async fn record(&self, id: &str) -> ConversationRecord {
        let id: ConversationId = id.parse().unwrap();
        self.read(CONVERSATIONS, &id.hex()).await.unwrap()
    }

    pub async fn sandbox_of(&self, id: &str) -> SandboxId {
        self.record(id).await.sandbox
    }

    pub async fn until_lease(&self, sandbox: &SandboxId) -> Lease {
        testing::eventually("a lease", async || self.read(LEASES, sandbox.as_str()).await).await
    }
}

impl Gateway {
    async fn start(ports: &Ports, config: Config, stop: &CancellationToken) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let run = crate::running::serve(config, ports.clone(), listener, stop.clone());
        tokio::spawn(async move { run.await.unwrap() });
        Self { address, client: crate::running::client() }
    }

    pub fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.address))
    }

    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> reqwest::Response {
        let mut request = self.request(method, path);
        if let Some(body) = body {
            request = request.json(body);
        }
        request.send().await.unwrap()
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        status_and_json(self.send(Method::GET, path, None).await).await
    }

    pub async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        status_and_json(self.send(Method::POST, path, Some(&body)).await).await
    }

    pub async fn delete(&self, path: &str) -> (u16, Value) {
        status_and_json(self.send(Method::DELETE, path, None).await).await
    }

    /// A new conversation's id, dashed.
    pub async fn create(&self, body: Value) -> String {
        let (status, info) = self.post("/api/conversations", body).await;
        assert_eq!(status, 201, "{info}");
        info["id"].as_str().unwrap().to_owned()
    }

    pub async fn status(&self, id: &str) -> String {
        let (status, info) = self.get(&format!("/api/conversations/{id}")).await;
        assert_eq!(status, 200, "{info}");
        info["execution_status"].as_str().unwrap().to_owned()
    }

    pub async fn until_status(&self, id: &str, status: &str) {
        until(async || self.status(id).await == status).await;
    }

    /// The status of an answered command.
    pub async fn bash(&self, prefix: &str, cwd: Option<&str>) -> u16 {
        let body = json!({"command": "true", "cwd": cwd});
        self.post(&format!("{prefix}/bash/start_bash_command"), body).await.0
    }
}

async fn status_and_json(response: reqwest::Response) -> (u16, Value) {
    (response.status().as_u16(), response.json().await.unwrap_or_default())
}

pub fn create_body(working_dir: &str) -> Value {
    json!({"agent": {"llm": {"model": "openai/m", "api_key": "sk-canary-key", "usage_id": "agent"}, "tools": []},
        "workspace": {"working_dir": working_dir}})
}

/// What a supervisor does, with workers that are tasks.
#[derive(Clone)]
pub struct Supervisor(Arc<Shared>);

struct Shared {
    ports: Ports,
    stop: CancellationToken,
    workers: Mutex<HashMap<SandboxId, Worker>>,
    failure: Mutex<Option<Failure>>,
}

impl Supervisor {
    fn new(ports: &Ports, stop: &CancellationToken) -> Self {
        let (ports, stop) = (ports.clone(), stop.clone());
        Self(Arc::new(Shared { ports, stop, workers: Mutex::default(), failure: Mutex::default() }))
    }

    /// From now on starts and stops what the records say.
    pub async fn begin(&self) {
        let kv = &self.0.ports.kv;
        let (wanted, leases) = (kv.watch(SANDBOXES).await.unwrap(), kv.watch(LEASES).await.unwrap());
        let mut changes = futures_util::stream::select(wanted, leases);
        let supervisor = self.clone();
        let work = async move {
            loop {
                supervisor.reconcile().await;
                changes.next().await;
            }
        };
        tokio::spawn(self.0.stop.clone().run_until_cancelled_owned(work));
    }

    /// Starts fail from now on.
    pub fn fail_with(&self, message: &str) {
        *self.0.failure.lock().unwrap() = Some(failure(message));
    }

    /// Starts succeed again.
    pub fn recover(&self) {
        *self.0.failure.lock().unwrap() = None;
    }

    pub fn worker(&self, sandbox: &SandboxId) -> Option<Worker> {
        self.workers().get(sandbox).cloned()
    }

    /// A worker without an owner, as the warm pool has them.
    pub async fn add_to_pool(&self, name: &str) -> SandboxId {
        let sandbox = SandboxId::parse(name).unwrap();
        let wanted = Wanted {
            tenant: None,
            place: String::new(),
            want: Want::Running,
            touched_at: 0,
            quiet_after: None,
            has_guests: false,
        };
        self.put(SANDBOXES, &sandbox, &wanted).await;
        self.start(&sandbox).await;
        sandbox
    }

    /// A worker that has its lease and answers.
    pub async fn start(&self, sandbox: &SandboxId) {
        let epoch = self.next_epoch(sandbox, None).await;
        let worker = Worker::start_as(&self.0.ports, sandbox.clone(), epoch).await;
        self.workers().insert(sandbox.clone(), worker);
        self.renew(sandbox, epoch).await;
    }

    /// The next instance's lease, whether anybody answers or not.
    pub async fn lease(&self, sandbox: &SandboxId) {
        let epoch = self.next_epoch(sandbox, None).await;
        self.renew(sandbox, epoch).await;
    }

    /// What a worker without any run reports.
    pub async fn renew(&self, sandbox: &SandboxId, epoch: Epoch) {
        self.renew_idle(sandbox, epoch, 0).await;
    }

    /// The same of a worker that was not used for so long.
    pub async fn renew_idle(&self, sandbox: &SandboxId, epoch: Epoch, idle_seconds: u64) {
        let lease = Lease { epoch, since: time::utc_now(), idle_seconds, runs: 0, calls: 0 };
        self.put(LEASES, sandbox, &lease).await;
    }

    /// The worker is gone, and its lease too unless it `stays` a while.
    pub async fn kill(&self, sandbox: &SandboxId, stays: bool) {
        let worker = self.workers().remove(sandbox);
        if let Some(worker) = worker {
            worker.stop().await;
        }
        if !stays {
            self.0.ports.kv.delete(LEASES, sandbox.as_str(), Expect::Anything).await.unwrap();
        }
    }

    async fn reconcile(&self) {
        for (key, entry) in self.0.ports.kv.list(SANDBOXES).await.unwrap() {
            let sandbox = SandboxId::parse(&key).unwrap();
            let wanted: Wanted = serde_json::from_slice(&entry.value).unwrap();
            let runs = self.worker(&sandbox).is_some();
            let failure = self.0.failure.lock().unwrap().clone();
            match (wanted.want, failure) {
                (Want::Running, None) if !runs => self.start(&sandbox).await,
                (Want::Running, Some(failure)) if !runs => {
                    self.next_epoch(&sandbox, Some(failure)).await;
                }
                (Want::Paused | Want::Deleted, _) if runs => self.kill(&sandbox, false).await,
                _ => {}
            }
        }
    }

    async fn next_epoch(&self, sandbox: &SandboxId, failure: Option<Failure>) -> Epoch {
        let known = self.0.ports.kv.get(ALLOCATIONS, sandbox.as_str()).await.unwrap();
        let known: Allocation =
            known.map(|entry| serde_json::from_slice(&entry.value).unwrap()).unwrap_or_default();
        let epoch = Epoch(known.epoch.0 + 1);
        let allocation = Allocation { epoch, failure, ..Allocation::default() };
        self.put(ALLOCATIONS, sandbox, &allocation).await;
        epoch
    }

    async fn put(&self, bucket: &str, sandbox: &SandboxId, value: &impl Serialize) {
        let value = serde_json::to_vec(value).unwrap().into();
        self.0.ports.kv.put(bucket, sandbox.as_str(), value, Expect::Anything).await.unwrap();
    }

    fn workers(&self) -> MutexGuard<'_, HashMap<SandboxId, Worker>> {
        self.0.workers.lock().unwrap()
    }
}

fn failure(message: &str) -> Failure {
    Failure {
        reason: FailureReason::ImageMissing,
        message: message.to_owned(),
        log: "last line".to_owned(),
        at: time::utc_now(),
        retry_at: 0,
        is_final: true,
    }
}
