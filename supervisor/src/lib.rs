//! The supervisor: keeps one worker incarnation running for each wanted sandbox.
//!
//! A level-triggered controller: it compares what is wanted with what was arranged, who holds a lease and
//! what a [`Driver`] finds running, takes the steps that are missing, and looks again when something hints
//! at a change, when a step is due, or after [`RESYNC`]. It holds no model key and never sees a conversation.

mod act;
mod course;
mod credentials;
mod decide;
mod deputies;
mod driver;
pub mod drivers;
mod failures;
mod hints;
mod memory;
mod moment;
mod pool;
mod pulse;
mod reconcile;
mod records;
mod repeats;
mod room;
mod scope;
#[cfg(test)]
mod tests;
mod trouble;
mod view;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future;
use ports::leader::{Candidate, Timing};
use ports::{Error, Ports};
use telemetry::metrics::{Metrics, Placement};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use types::SandboxId;
use types::buckets::{LEASES, SUPERVISOR_KEY};

pub use credentials::{LIFETIME as CREDENTIALS_LIFETIME, Minter, NoCredentials};
pub use driver::{Cause, Driver, Found, Instance, InstanceState, Launch, StartError};
pub use room::Limits;

use act::Actor;
use hints::Hints;
use moment::Moment;
use reconcile::{Reconciler, Rules};
use scope::Scope;
use view::Demand;

/// How long a missed hint can go unnoticed.
pub const RESYNC: Duration = Duration::from_secs(30);

/// What an instance that waits for a machine, an image or a volume usually may do so: some clusters must get a machine first.
pub const PENDING: Duration = Duration::from_secs(600);

/// Between two looks, at least: what changes meanwhile is one reason to look.
const APART: Duration = Duration::from_millis(20);

/// After a look that failed.
const RETRY: Duration = Duration::from_secs(1);

pub enum Config {
    /// These sandboxes run for as long as the supervisor does, and end with it. Workers hold no leases, and
    /// nobody else schedules.
    Embedded { always: Vec<SandboxId> },
    /// What the records want runs, also when the supervisor does not.
    Cluster(Cluster),
}

pub struct Cluster {
    /// In the names of all instances: two clusters can share a host.
    pub name: String,
    /// How many unclaimed sandboxes are kept running.
    pub warm_workers: usize,
    /// A sandbox nobody used for so long is paused; `None`: never.
    pub idle_limit: Option<Duration>,
    /// How long an instance may wait for a machine, an image or a volume, before another is tried.
    pub pending_limit: Duration,
    pub limits: Limits,
    pub minter: Arc<dyn Minter>,
    pub metrics: Placement,
}

/// Runs until `shutdown`. Failed starts are tried again, with growing waits.
///
/// # Errors
/// When instances that are to end with it cannot be listed or stopped.
pub async fn run(
    config: Config,
    ports: Ports,
    driver: Arc<dyn Driver>,
    shutdown: CancellationToken,
) -> ports::Result<()> {
    match config {
        Config::Embedded { always } => {
            let mut reconciler = embedded(always, &ports, driver.clone());
            schedule(&mut reconciler, &ports, driver.as_ref(), &shutdown).await;
            reconciler.finish().await;
            end_workers(driver.as_ref()).await?;
        }
        Config::Cluster(cluster) => {
            let candidate = candidate(&ports, "scheduling sandboxes");
            // A new leader remembers nothing: what it finds is given time.
            let work = |stop| {
                let (mut reconciler, ports) = (clustered(&cluster, &ports, driver.clone()), ports.clone());
                let driver = driver.clone();
                async move {
                    schedule(&mut reconciler, &ports, driver.as_ref(), &stop).await;
                    reconciler.finish().await;
                }
            };
            candidate.lead(&shutdown, work).await;
        }
    }
    Ok(())
}

/// Ends all workers of a cluster that is to be taken down: in the supervisors' turn, so that none starts them meanwhile. They are
/// wanted as before, and the next supervisor starts them again.
///
/// # Errors
/// `Unavailable` when a supervisor keeps the turn for longer than `patience`, or workers cannot be listed or stopped.
pub async fn end(ports: &Ports, driver: &dyn Driver, patience: Duration) -> ports::Result<()> {
    let (candidate, has_turn) = (candidate(ports, "ending the workers"), CancellationToken::new());
    let ending = candidate.once(async {
        has_turn.cancel();
        end_workers(driver).await
    });
    let waited_in_vain = async {
        if tokio::time::timeout(patience, has_turn.cancelled()).await.is_ok() {
            future::pending().await
        }
    };
    let ended = tokio::select! {
        ended = ending => ended,
        () = waited_in_vain => None,
    };
    ended.unwrap_or_else(|| Err(Error::Unavailable("a supervisor works: stop all of them first".to_owned())))
}

fn candidate(ports: &Ports, what: &'static str) -> Candidate {
    Candidate::new(&ports.kv, (LEASES, SUPERVISOR_KEY), what, Timing::default())
}

async fn end_workers(driver: &dyn Driver) -> ports::Result<()> {
    let instances = driver.list().await?.into_iter().map(|found| found.instance);
    let stops = instances.map(|instance| async move { driver.stop(&instance, decide::STOPPING).await });
    future::join_all(stops).await.into_iter().collect()
}

fn embedded(always: Vec<SandboxId>, ports: &Ports, driver: Arc<dyn Driver>) -> Reconciler {
    let rules = Rules {
        demand: Demand::Always(always),
        leases: false,
        warm_workers: 0,
        idle_limit: None,
        pending_limit: PENDING,
        limits: Limits::default(),
    };
    let actor = Actor {
        kv: ports.kv.clone(),
        bus: ports.bus.clone(),
        driver,
        minter: Arc::new(NoCredentials),
        cluster: "embedded".to_owned(),
        gives_up: false,
        metrics: Metrics::default().placement,
    };
    Reconciler::new(rules, actor)
}

fn clustered(cluster: &Cluster, ports: &Ports, driver: Arc<dyn Driver>) -> Reconciler {
    let rules = Rules {
        demand: Demand::Recorded,
        leases: true,
        warm_workers: cluster.warm_workers,
        idle_limit: cluster.idle_limit,
        pending_limit: cluster.pending_limit,
        limits: cluster.limits,
    };
    let actor = Actor {
        kv: ports.kv.clone(),
        bus: ports.bus.clone(),
        driver,
        minter: cluster.minter.clone(),
        cluster: cluster.name.clone(),
        gives_up: true,
        metrics: cluster.metrics.clone(),
    };
    Reconciler::new(rules, actor)
}

/// Looks and looks again until `stop`. Then steps may still be under way.
async fn schedule(reconciler: &mut Reconciler, ports: &Ports, driver: &dyn Driver, stop: &CancellationToken) {
    let (mut hints, mut scope) = (Hints::default(), Scope::All);
    while !stop.is_cancelled() {
        scope.add(hints.watch(ports.kv.as_ref()).await);
        let next = match reconciler.look(std::mem::take(&mut scope), Moment::now()).await {
            Ok(next) => next,
            Err(error) => {
                tracing::warn!(%error, "cannot compare wanted and running sandboxes, trying again");
                RETRY
            }
        };
        let earliest = Instant::now() + APART;
        tokio::select! {
            () = tokio::time::sleep(next) => {}
            changed = change(reconciler, &mut hints, driver) => scope.add(changed),
            () = stop.cancelled() => {}
        }
        // What else has happened by then, however much it is.
        let more = async {
            loop {
                scope.add(change(reconciler, &mut hints, driver).await);
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = more => {}
            () = tokio::time::sleep_until(earliest) => {}
        }
    }
}

/// Returns at the next reason to look, with what to look at; the reconciler knows by itself whose step has ended.
///
/// # Cancel safety
/// Dropping it loses nothing.
async fn change(reconciler: &mut Reconciler, hints: &mut Hints, driver: &dyn Driver) -> Scope {
    tokio::select! {
        sandbox = driver.changed() => Scope::of(sandbox),
        concerned = hints.changed() => concerned,
        () = reconciler.step_ended() => Scope::default(),
    }
}
