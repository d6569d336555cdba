//! Reconciling over real records against a driver whose workers can be made to fail, to hang and to end.

mod failing;
mod hostile;
mod leading;
mod looking;
mod measuring;
mod outage;
mod pending;
mod pooling;
mod resting;
mod running;
mod wanting;
mod workers;

use std::sync::Arc;
use std::time::Duration;

use ports::{Expect, Ports};
use serde::Serialize;
use serde::de::DeserializeOwned;
use telemetry::metrics::Metrics;
use tempfile::TempDir;
use types::buckets::{ALLOCATIONS, DEPUTIES_KEY, LEASES, SANDBOXES};
use types::placement::{Allocation, Credentials, Lease, Want, Wanted};
use types::{Epoch, SandboxId, TenantId};

use crate::act::Actor;
use crate::moment::Moment;
use crate::reconcile::{Reconciler, Rules};
use crate::scope::Scope;
use crate::view::Demand;
use crate::{Instance, InstanceState};
use crate::{Limits, Minter};
use workers::Workers;

const SECOND: Duration = Duration::from_secs(1);

struct World {
    workers: Arc<Workers>,
    ports: Ports,
    rules: Rules,
    metrics: Metrics,
    start: Moment,
    _store: embedded::Guard,
    _folder: TempDir,
}

async fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    let options = embedded::Options::within(folder.path(), embedded::Fsync::Interval);
    let (ports, store) = embedded::open(options).await.unwrap();
    let rules = Rules {
        demand: Demand::Recorded,
        leases: true,
        warm_workers: 0,
        idle_limit: Some(600 * SECOND),
        pending_limit: crate::PENDING,
        limits: Limits::default(),
    };
    World {
        workers: Arc::default(),
        ports,
        rules,
        metrics: Metrics::default(),
        start: Moment::now(),
        _store: store,
        _folder: folder,
    }
}

impl World {
    fn actor(&self) -> Actor {
        Actor {
            kv: self.ports.kv.clone(),
            bus: self.ports.bus.clone(),
            driver: self.workers.clone(),
            minter: Arc::new(Signed),
            cluster: "test".to_owned(),
            gives_up: true,
            metrics: self.metrics.placement.clone(),
        }
    }

    fn supervisor(&self) -> Reconciler {
        Reconciler::new(self.rules.clone(), self.actor())
    }

    async fn put(&self, bucket: &str, sandbox: &str, value: &impl Serialize) {
        let value = serde_json::to_vec(value).unwrap();
        self.ports.kv.put(bucket, sandbox, value.into(), Expect::Anything).await.unwrap();
    }

    async fn get<T: DeserializeOwned>(&self, bucket: &str, sandbox: &str) -> Option<T> {
        let entry = self.ports.kv.get(bucket, sandbox).await.unwrap()?;
        Some(serde_json::from_slice(&entry.value).unwrap())
    }

    /// After so many wakes.
    async fn want(&self, sandbox: &str, want: Want, wakes: u64) {
        self.put(SANDBOXES, sandbox, &wanted(want, wakes)).await;
    }

    async fn wanted(&self, sandbox: &str) -> Option<Want> {
        self.get::<Wanted>(SANDBOXES, sandbox).await.map(|wanted| wanted.want)
    }

    async fn allocation(&self, sandbox: &str) -> Allocation {
        self.get(ALLOCATIONS, sandbox).await.unwrap_or_default()
    }

    async fn until_running(&self, count: usize) {
        let waiting = async {
            while self.workers.instances().len() != count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(10 * SECOND, waiting).await.unwrap();
    }

    /// As the worker does every few seconds.
    async fn lease(&self, sandbox: &str, epoch: u64, idle_seconds: u64) {
        let since = "2026-11-23T00:00:00.000000Z".to_owned();
        self.put(LEASES, sandbox, &Lease { epoch: Epoch(epoch), since, idle_seconds, runs: 0, calls: 0 })
            .await;
    }
}

impl Reconciler {
    /// Looks until there is nothing left to do at this time; answers how long.
    async fn settle(&mut self, now: Moment) -> Duration {
        self.settle_from(Scope::All, now).await
    }

    /// The same, where nothing was heard of but this.
    async fn settle_from(&mut self, mut scope: Scope, now: Moment) -> Duration {
        // As a gateway does that serves workers.
        let _ = self.kv().put(LEASES, DEPUTIES_KEY, "{}".into(), Expect::Anything).await;
        for _ in 0..20 {
            let next = self.look(std::mem::take(&mut scope), now).await.unwrap();
            if self.is_at_rest() && !next.is_zero() {
                return next;
            }
            self.finish().await;
        }
        panic!("the supervisor does not come to rest");
    }
}

/// Names the incarnation, so that a test sees whose they are.
struct Signed;

impl Minter for Signed {
    fn mint(&self, sandbox: &SandboxId, epoch: Epoch) -> ports::Result<Option<Credentials>> {
        Ok(Some(Credentials {
            jwt: format!("jwt of {sandbox} {}", epoch.0),
            seed: "seed".to_owned(),
            inbox_prefix: format!("_INBOX_{sandbox}_{}", epoch.0),
        }))
    }
}

fn wanted(want: Want, wakes: u64) -> Wanted {
    let (tenant, place) = (Some(TenantId::default()), "default".to_owned());
    Wanted { tenant, place, want, wakes, ..Wanted::default() }
}

fn instance(sandbox: &str, epoch: u64) -> Instance {
    Instance { sandbox: SandboxId::parse(sandbox).unwrap(), epoch: Epoch(epoch) }
}

fn exited(code: i64) -> InstanceState {
    InstanceState::Exited { code: Some(code) }
}
