//! What a supervisor does, with scripted workers that are tasks: it starts and stops them as the records say, and writes
//! what supervisors and workers write.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use futures_util::StreamExt;
use ports::{Expect, Ports};
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use types::buckets::{ALLOCATIONS, LEASES, SANDBOXES};
use types::placement::{Allocation, Failure, FailureReason, Lease, Want, Wanted};
use types::{Epoch, SandboxId, time};

use super::worker::Worker;

#[derive(Clone)]
pub struct Supervisor(Arc<Shared>);

struct Shared {
    ports: Ports,
    stop: CancellationToken,
    workers: Mutex<HashMap<SandboxId, Worker>>,
    failure: Mutex<Option<Failure>>,
}

impl Supervisor {
    pub(super) fn new(ports: &Ports, stop: &CancellationToken) -> Self {
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

    /// By all workers together.
    pub fn agents_asked(&self) -> usize {
        self.workers().values().map(Worker::agents_asked).sum()
    }

    /// A worker without an owner, as the warm pool has them.
    pub async fn add_to_pool(&self, name: &str) -> SandboxId {
        let sandbox = SandboxId::parse(name).unwrap();
        let wanted = Wanted { want: Want::Running, ..Wanted::default() };
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
            worker.stop();
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
            if wanted.is_claimed && runs {
                let granted = serde_json::to_vec(&Wanted { is_claimed: false, ..wanted.clone() }).unwrap();
                // Unless somebody was faster: of that there is a hint.
                let expect = Expect::Revision(entry.revision);
                let _ = self.0.ports.kv.put(SANDBOXES, &key, granted.into(), expect).await;
            }
            let failure = self.0.failure.lock().unwrap().clone();
            match (wanted.want, failure) {
                (Want::Running, None) if !runs => self.start(&sandbox).await,
                (Want::Running, Some(failure)) if !runs => {
                    let failure = Failure { answers: wanted.wakes, ..failure };
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
        answers: 0,
    }
}
