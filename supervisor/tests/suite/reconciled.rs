//! The supervisor with the real driver: records in, instances out.

use std::sync::Arc;

use futures_util::StreamExt;
use manyhands_supervisor::{Cluster, Config, InstanceState, Limits, NoCredentials, PENDING};
use ports::{Change, Expect, Ports};
use telemetry::metrics::Metrics;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use types::TenantId;
use types::buckets::{ALLOCATIONS, SANDBOXES};
use types::placement::{Allocation, Failure, FailureReason, Want, Wanted};

use super::place::{PATIENCE, Place};

pub struct Supervised<P> {
    pub place: P,
    pub ports: Ports,
    pub shutdown: CancellationToken,
    pub running: JoinHandle<ports::Result<()>>,
    _store: embedded::Guard,
    _folder: TempDir,
}

impl<P: Place> Supervised<P> {
    pub async fn of(place: P) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = embedded::Options::within(folder.path(), embedded::Fsync::Interval);
        let (ports, store) = embedded::open(options).await.unwrap();
        let cluster = Config::Cluster(Cluster {
            name: "test".to_owned(),
            warm_workers: 0,
            idle_limit: None,
            pending_limit: PENDING,
            limits: Limits::default(),
            minter: Arc::new(NoCredentials),
            metrics: Metrics::default().placement,
        });
        let driver = Arc::new(place.another().await);
        let shutdown = CancellationToken::new();
        let running = manyhands_supervisor::run(cluster, ports.clone(), driver, shutdown.clone());
        let running = tokio::spawn(running);
        Self { place, ports, shutdown, running, _store: store, _folder: folder }
    }

    pub async fn want(&self, want: Want) {
        let (tenant, place) = (Some(TenantId::default()), "a".to_owned());
        let wanted = Wanted { tenant, place, want, ..Wanted::default() };
        let value = serde_json::to_vec(&wanted).unwrap();
        self.ports.kv.put(SANDBOXES, "a", value.into(), Expect::Anything).await.unwrap();
    }

    /// The first failure that is recorded from now on.
    pub async fn first_failure(&self) -> Failure {
        let mut changes = self.ports.kv.watch(ALLOCATIONS).await.unwrap();
        self.want(Want::Running).await;
        let failure = async {
            while let Some(change) = changes.next().await {
                let Change::Put { entry, .. } = change else { continue };
                let allocation: Allocation = serde_json::from_slice(&entry.value).unwrap();
                if let Some(failure) = allocation.failure {
                    return failure;
                }
            }
            panic!("no failure is recorded");
        };
        timeout(PATIENCE, failure).await.unwrap()
    }

    pub async fn until_states(&self, expected: &[InstanceState]) {
        self.place.until(async || self.place.states().await == expected).await;
    }
}

pub async fn a_worker_that_cannot_begin_is_recorded_with_its_last_lines<P: Place>() {
    let place = P::begin("read -r spec; echo cannot open the workspace; exit 3").await;
    let failure = Supervised::of(place).await.first_failure().await;
    assert_eq!(failure.reason, FailureReason::Exited);
    assert_eq!(failure.message, "The worker ended with exit code 3.");
    assert_eq!(failure.log, "cannot open the workspace");
}

pub async fn a_sandbox_runs_pauses_and_is_deleted_without_a_trace<P: Place>() {
    let supervised = Supervised::of(P::begin("read -r spec; exec sleep 1000").await).await;
    supervised.want(Want::Running).await;
    supervised.until_states(&[InstanceState::Running]).await;
    supervised.want(Want::Paused).await;
    supervised.until_states(&[]).await;
    assert_eq!(supervised.place.volumes().await, 1);
    supervised.want(Want::Deleted).await;
    let (place, kv) = (&supervised.place, &supervised.ports.kv);
    place.until(async || kv.list(SANDBOXES).await.unwrap().is_empty()).await;
    assert_eq!(place.volumes().await, 0);
}

pub async fn a_supervisor_that_stops_leaves_its_instances_running<P: Place>() {
    let supervised = Supervised::of(P::begin("read -r spec; exec sleep 1000").await).await;
    supervised.want(Want::Running).await;
    supervised.until_states(&[InstanceState::Running]).await;
    supervised.shutdown.cancel();
    supervised.running.await.unwrap().unwrap();
    assert_eq!(supervised.place.states().await, [InstanceState::Running]);
}
