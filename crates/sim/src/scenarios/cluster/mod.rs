//! A whole cluster: gateways, supervisors, workers and an engine that runs them, and clients with their conversations.

mod api;
mod check;
mod client;
mod deputy;
mod engine;
mod gateway;
mod liar;
mod memory;
mod model;
mod tool;
mod watch;
mod worker;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use control::placement::Policy;
use fastrand::Rng;
use parking_lot::Mutex;
use supervisor::{Limits, NoCredentials};
use telemetry::metrics::Metrics;
use tokio_util::sync::CancellationToken;
use types::TenantId;

use self::gateway::Waiting;
use deputy::Accounts;
use engine::Engine;
use memory::Memory;
use watch::Watch;

use crate::faults::{Kind, Mix};
use crate::world::{Here, Outcome, Simulation, World};

pub const MIX: Mix = Mix {
    when: Duration::from_millis(1)..Duration::from_secs(50),
    most: 10,
    kinds: &[
        (Kind::LosesRequests, 2),
        (Kind::LosesAnswers, 4),
        (Kind::IsLate, 3),
        (Kind::IsSlow, 2),
        (Kind::IsCutOff, 3),
        (Kind::IsBehind, 4),
        (Kind::StoreIsAway, 2),
        (Kind::StoreIsFull, 1),
        (Kind::NobodyServes, 2),
        (Kind::IsKilled, 6),
        (Kind::IsStopped, 5),
        (Kind::ClockJumps, 2),
    ],
};

/// All that clients want is done by then.
const PATIENCE: Duration = Duration::from_secs(1_200);
/// What is not wanted any more is gone after that.
const SETTLING: Duration = Duration::from_secs(150);

/// After the last trouble all parts are there again, and have seen what there is.
const RECOVERY: Duration = Duration::from_secs(75);

/// Nobody waits so long for an answer.
const LONG: Duration = Duration::from_secs(120);

/// After that what is left over is gone as well.
const HOURS: Duration = Duration::from_secs(9_000);

/// What a sandbox may store: whatever it likes, more than it ever will, or too little.
const QUOTAS: [Option<u64>; 4] = [None, Some(1 << 30), Some(1 << 30), Some(150 << 10)];

/// After how long without use sandboxes are paused.
const IDLE_LIMITS: [Duration; 2] = [Duration::from_secs(8), Duration::from_secs(30)];

/// How a cluster is made.
#[derive(Clone)]
struct Plan {
    folder: PathBuf,
    policy: Policy,
    warm: usize,
    idle_limit: Duration,
    limits: Limits,
    waiting: Waiting,
    accounts: Accounts,
    engine: Engine,
}

pub fn run(simulation: &mut Simulation, rng: &mut Rng, is_calm: bool) -> Vec<String> {
    let folder = std::env::temp_dir().join(format!("manyhands-sim-{:010}", std::process::id()));
    let broken = match make(&folder) {
        Ok(()) => run_in(simulation, rng, &folder, is_calm),
        Err(error) => vec![format!("no folder for the world: {error}")],
    };
    let _ = fs::remove_dir_all(&folder);
    broken
}

/// The workspaces are within a repository, so that none is made of them.
fn make(folder: &Path) -> std::io::Result<()> {
    let git = folder.join("workspace/.git");
    fs::create_dir_all(git.join("objects"))?;
    fs::create_dir_all(git.join("refs"))?;
    fs::write(git.join("HEAD"), "ref: refs/heads/main\n")
}

fn run_in(simulation: &mut Simulation, rng: &mut Rng, folder: &Path, is_calm: bool) -> Vec<String> {
    let policy = [Policy::Shared, Policy::Workspace, Policy::Conversation][rng.usize(..3)];
    // Whose workers may lie is one tenant; the other must not notice.
    let has_liars = rng.u32(..4) == 0;
    let limits = match rng.u32(..3) {
        0 => Limits { per_tenant: Some(rng.usize(1..4)), per_node: Some(rng.usize(2..5)) },
        _ => Limits::default(),
    };
    let engine = Engine::new(folder.to_owned(), has_liars);
    tool::begin(&simulation.world);
    let plan = Plan {
        folder: folder.to_owned(),
        policy,
        warm: rng.usize(..3),
        idle_limit: IDLE_LIMITS[rng.usize(..IDLE_LIMITS.len())],
        limits,
        waiting: Waiting::new(engine.clone()),
        accounts: Accounts::with(QUOTAS[rng.usize(..QUOTAS.len())]),
        engine: engine.clone(),
    };
    for number in 0..rng.usize(1..=2) {
        supervise(&simulation.world, &plan, format!("supervisor {number}"));
    }
    for number in 0..rng.usize(1..=3) {
        serve(&simulation.world, &plan, format!("gateway {number}"));
    }
    let has_places = limits == Limits::default();
    let has_room = plan.accounts.quota != QUOTAS[3];
    let tenants = ["default", "other"].map(|name| TenantId::parse(name).unwrap_or_default());
    let memories: Vec<Arc<Mutex<Memory>>> = (0..rng.usize(1..=5))
        .map(|_| Memory::new(tenants[rng.usize(..4) / 3].clone(), is_calm, has_room, has_places))
        .collect();
    for (number, memory) in memories.iter().enumerate() {
        let (root, memory) = (folder.join("workspace"), memory.clone());
        let work = move |here: Here| async move { client::work(here, &root, memory).await };
        let node = simulation.world.start(format!("client {number}"), work, |_, _| {});
        simulation.world.spare(node);
    }
    if is_calm {
        engine.calm_down();
    }
    simulation.world.after(MIX.when.end, move |_| engine.calm_down());
    let mut watch = Watch::new(plan.engine.clone(), limits);
    let are_done = |world: &World| {
        watch.look(world);
        memories.iter().all(|memory| memory.lock().is_done)
    };
    let outcome = simulation.run(PATIENCE, are_done);
    let mut broken: Vec<String> = watch.broken().collect();
    if outcome != Outcome::Done {
        let waiting = memories.iter().filter(|memory| !memory.lock().is_done).count();
        broken.push(format!("{waiting} clients wait still: {outcome:?}"));
    }
    simulation.run(SETTLING, |_| false);
    if !check::homeless(simulation, &plan.engine, plan.warm).is_empty() {
        // Whoever looks for what nobody needs does so once an hour.
        simulation.run(HOURS, |_| false);
    }
    broken.extend(check::homeless(simulation, &plan.engine, plan.warm));
    let (now, world) = (simulation.world.now(), &simulation.world);
    broken.extend(plan.waiting.since(now.saturating_sub(LONG), |node| world.is_there(node)));
    broken.extend(world.unanswered(now.saturating_sub(LONG)));
    let memories: Vec<Memory> = memories.iter().map(|memory| memory.lock().clone()).collect();
    world.stored(|store| {
        check::deeds(store, &memories, &mut broken);
        check::conversations(store, &plan.engine, &memories, &mut broken);
    });
    broken.extend(plan.engine.broken());
    broken.extend(plan.waiting.broken());
    broken.extend(plan.accounts.broken(simulation));
    if plan.accounts.quota.is_some() {
        broken.extend(deputy::recount(simulation));
    }
    broken
}

/// A gateway that is started again whenever it is over.
fn serve(world: &World, plan: &Plan, name: String) {
    let (again, own) = (plan.clone(), name.clone());
    let (folder, policy) = (plan.folder.clone(), plan.policy);
    let (waiting, accounts) = (plan.waiting.clone(), plan.accounts.clone());
    let work = move |here: Here| gateway::work(here, folder, policy, waiting, accounts);
    world.start(name, work, move |world, _| {
        // Sometimes longer than leases live.
        let mut dice = world.dice();
        let most = if dice.u32(..4) == 0 { 60_000 } else { 15_000 };
        let pause = Duration::from_millis(dice.u64(100..most));
        world.after(pause.max(world.nobody_serves_for()), move |world| serve(world, &again, own));
    });
}

fn supervise(world: &World, plan: &Plan, name: String) {
    let (again, own) = (plan.clone(), name.clone());
    let (engine, warm_workers, limits) = (plan.engine.clone(), plan.warm, plan.limits);
    let idle_limit = plan.idle_limit;
    let work = move |here: Here| async move {
        let cluster = supervisor::Cluster {
            name: "sim".to_owned(),
            warm_workers,
            idle_limit: Some(idle_limit),
            pending_limit: supervisor::PENDING,
            limits,
            minter: Arc::new(NoCredentials),
            metrics: Metrics::default().placement,
        };
        let driver = Arc::new(engine.reached_from(&here));
        let config = supervisor::Config::Cluster(cluster);
        if let Err(error) = supervisor::run(config, here.ports, driver, CancellationToken::new()).await {
            tracing::error!(%error, "the supervisor ends");
        }
    };
    world.start(name, work, move |world, _| {
        let pause = Duration::from_millis(world.dice().u64(100..15_000));
        world.after(pause, move |world| supervise(world, &again, own));
    });
}
