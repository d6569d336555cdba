//! A worker that may be one of several keeps a lease, and stops when a newer one is there.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use embedded::{Fsync, Options};
use manyhands_worker::{Config, Error, run};
use ports::doubles::KvDouble;
use ports::{Error as StoreError, Expect, Kv, Ports, Result as StoreResult};
use tempfile::TempDir;
use testing::script::Turn;
use testing::{eventually, within};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use types::buckets::LEASES;
use types::placement::Lease;
use types::{Epoch, SandboxId};

use crate::support::World;

pub async fn store(folder: &Path) -> (Ports, embedded::Guard) {
    let options = Options::within(folder, Fsync::Interval);
    embedded::open(options).await.unwrap()
}

pub fn start(
    ports: &Ports,
    folder: &TempDir,
    epoch: u64,
) -> (JoinHandle<Result<(), Error>>, CancellationToken) {
    let base = Config::new(SandboxId::shared(), Epoch(epoch), folder.path().into(), folder.path().into());
    let config = Config { leased: true, ..base };
    let stop = CancellationToken::new();
    let models = llm::Client::new(Arc::new(llm::Direct::default()));
    (tokio::spawn(run(config, ports.clone(), models, stop.clone())), stop)
}

pub async fn lease(ports: &Ports) -> Option<Lease> {
    let stored = ports.kv.get(LEASES, "default").await.unwrap()?;
    Some(serde_json::from_slice(&stored.value).unwrap())
}

pub async fn held_by(ports: &Ports, epoch: u64) {
    eventually("the lease is taken", async || lease(ports).await.filter(|lease| lease.epoch == Epoch(epoch)))
        .await;
}

#[tokio::test]
async fn a_worker_takes_its_lease_and_renews_it() {
    let folder = tempfile::tempdir().unwrap();
    let (ports, _guard) = store(folder.path()).await;
    let (running, stop) = start(&ports, &folder, 3);
    held_by(&ports, 3).await;
    let first = ports.kv.get(LEASES, "default").await.unwrap().unwrap().revision;
    eventually("the lease is renewed", async || {
        let now = ports.kv.get(LEASES, "default").await.unwrap().unwrap().revision;
        (now > first).then_some(())
    })
    .await;
    stop.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_newer_incarnation_takes_over_and_the_older_one_stops() {
    let folder = tempfile::tempdir().unwrap();
    let (ports, _guard) = store(folder.path()).await;
    let (old, _old_stop) = start(&ports, &folder, 1);
    held_by(&ports, 1).await;
    let (new, stop) = start(&ports, &folder, 2);
    held_by(&ports, 2).await;
    assert!(matches!(old.await.unwrap(), Err(Error::Replaced(_))));
    stop.cancel();
    new.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_older_incarnation_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let (ports, _guard) = store(folder.path()).await;
    let newer = Lease { epoch: Epoch(9), since: String::new(), idle_seconds: 0, runs: 0, calls: 0 };
    let value = serde_json::to_vec(&newer).unwrap();
    ports.kv.put(LEASES, "default", value.into(), Expect::Absent).await.unwrap();
    let (old, _stop) = start(&ports, &folder, 8);
    assert!(matches!(old.await.unwrap(), Err(Error::Replaced(_))));
    assert_eq!(lease(&ports).await, Some(newer));
}

/// Leases that nobody takes for a while.
struct Leases {
    inner: Arc<dyn Kv>,
    are_away: Arc<AtomicBool>,
}

impl KvDouble for Leases {
    fn inner(&self) -> StoreResult<&dyn Kv> {
        match self.are_away.load(Ordering::Relaxed) {
            true => Err(StoreError::Unavailable("no gateway is there".to_owned())),
            false => Ok(self.inner.as_ref()),
        }
    }
}

/// The fence keeps others from harm, so there is nothing to save.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_goes_on_while_nobody_takes_the_lease() {
    let are_away = Arc::new(AtomicBool::new(false));
    let leases = |ports: &mut Ports| {
        ports.kv = Arc::new(Leases { inner: ports.kv.clone(), are_away: are_away.clone() });
    };
    let world = World::with(|config| config.leased = true, leases).await;
    let id = world.create();
    // Longer than a lease lives.
    world.model.will([Turn::terminal("call_1", "sleep 17; echo through $((6 * 7))"), Turn::text("done")]);
    world.say(id, "go", true).await.unwrap();
    eventually("it acts", async || (!world.kinds(id, "ActionEvent").await.is_empty()).then_some(())).await;
    are_away.store(true, Ordering::Relaxed);
    let seen = within(Duration::from_secs(40), "the action ends", async || {
        world
            .events(id)
            .await
            .into_iter()
            .find(|event| event["source"] == "environment" && event["action_id"].is_string())
    })
    .await;
    assert!(seen["kind"] == "ObservationEvent" && seen.to_string().contains("through 42"), "{seen}");
    world.wait_status(id, "finished").await;
    assert!(world.kinds(id, "InterruptEvent").await.is_empty());
}
