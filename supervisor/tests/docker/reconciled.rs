//! The supervisor with the real driver: records in, containers out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use manyhands_supervisor::{Cluster, Config, Limits, NoCredentials};
use ports::{Change, Expect, Ports};
use telemetry::metrics::Metrics;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use types::TenantId;
use types::buckets::{ALLOCATIONS, SANDBOXES};
use types::placement::{Allocation, Failure, FailureReason, Want, Wanted};

use super::world::{NOWHERE, PATIENCE, World, connect, launch, world, world_with};

struct Supervised {
    world: World,
    ports: Ports,
    shutdown: CancellationToken,
    running: JoinHandle<ports::Result<()>>,
    _store: embedded::Guard,
    _folder: TempDir,
}

async fn supervised(script: &str) -> Supervised {
    supervised_in(world(script).await).await
}

async fn supervised_in(world: World) -> Supervised {
    let folder = tempfile::tempdir().unwrap();
    let options = embedded::Options::within(folder.path(), embedded::Fsync::Interval);
    let (ports, store) = embedded::open(options).await.unwrap();
    let cluster = Config::Cluster(Cluster {
        name: world.config.cluster.clone(),
        warm_workers: 0,
        idle_limit: None,
        pending_limit: manyhands_supervisor::PENDING,
        limits: Limits::default(),
        minter: Arc::new(NoCredentials),
        metrics: Metrics::default().placement,
    });
    let driver = Arc::new(connect(&world.config).await);
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(manyhands_supervisor::run(cluster, ports.clone(), driver, shutdown.clone()));
    Supervised { world, ports, shutdown, running, _store: store, _folder: folder }
}

impl Supervised {
    async fn want(&self, want: Want) {
        let (tenant, place) = (Some(TenantId::default()), "a".to_owned());
        let wanted = Wanted { tenant, place, want, ..Wanted::default() };
        let value = serde_json::to_vec(&wanted).unwrap();
        self.ports.kv.put(SANDBOXES, "a", value.into(), Expect::Anything).await.unwrap();
    }

    /// The first failure that is recorded from now on.
    async fn first_failure(&self) -> Failure {
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

    async fn until_containers(&self, count: usize) {
        self.world.until(async || self.world.states().await.len() == count).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_cannot_begin_is_recorded_with_its_last_lines_within_seconds() {
    let supervised = supervised("read -r spec; echo cannot open the workspace; exit 3").await;
    let begun = Instant::now();
    let failure = supervised.first_failure().await;
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_eq!(failure.reason, FailureReason::Exited);
    assert_eq!(failure.message, "The worker ended with exit code 3.");
    assert_eq!(failure.log, "cannot open the workspace");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_image_is_recorded_within_two_seconds() {
    let supervised =
        supervised_in(world_with("exec sleep 1000", |config| config.image = NOWHERE.to_owned()).await).await;
    let begun = Instant::now();
    let failure = supervised.first_failure().await;
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(failure.reason, FailureReason::ImageMissing);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sandbox_runs_pauses_and_is_deleted_without_a_trace() {
    let supervised = supervised("read -r spec; exec sleep 1000").await;
    let volume = supervised.world.config.volume(&launch("a", 1).instance.sandbox);
    supervised.want(Want::Running).await;
    supervised.until_containers(1).await;
    supervised.want(Want::Paused).await;
    supervised.until_containers(0).await;
    assert!(supervised.world.volumes().await.contains(&volume));
    supervised.want(Want::Deleted).await;
    let (world, kv) = (&supervised.world, &supervised.ports.kv);
    world.until(async || kv.list(SANDBOXES).await.unwrap().is_empty()).await;
    assert!(!world.volumes().await.contains(&volume));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_supervisor_that_stops_leaves_its_containers_running() {
    let supervised = supervised("read -r spec; exec sleep 1000").await;
    supervised.want(Want::Running).await;
    supervised.until_containers(1).await;
    supervised.shutdown.cancel();
    supervised.running.await.unwrap().unwrap();
    let state = supervised.world.inspect(&launch("a", 1).instance).await.state.unwrap();
    assert_eq!(state.running, Some(true));
}
