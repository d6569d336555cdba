//! What runs workers in a cluster, as a container engine does: it outlives supervisors, takes its time, and sometimes fails.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use ports::{Error, Result};
use supervisor::{Driver, Found, Instance, InstanceState, Launch, StartError};
use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use types::buckets::SANDBOXES;
use types::placement::{Want, Wanted};
use types::{SandboxId, TenantId};

use super::{liar, worker};
use crate::world::{Here, NodeId, Start, World};

/// What was wrong so long ago explains nothing any more.
const FORGOTTEN: Duration = Duration::from_secs(60);

/// The tenant whose workers may lie.
pub const LIED_TO: &str = "other";

/// Cheap to clone.
#[derive(Clone)]
pub struct Engine(Arc<Mutex<State>>);

struct State {
    folder: PathBuf,
    instances: BTreeMap<(SandboxId, u64), Running>,
    /// Sandboxes that have files.
    volumes: BTreeSet<SandboxId>,
    /// Supervisors that are to hear of changes.
    listeners: Vec<(NodeId, Arc<Notify>)>,
    /// Workers of the other tenant may be liars.
    has_liars: bool,
    /// To whom one was.
    deceived: BTreeSet<TenantId>,
    /// Where one was.
    haunted: BTreeSet<SandboxId>,
    /// Nothing is refused any more.
    is_calm: bool,
    /// What supervisors have done and must not.
    broken: Vec<String>,
}

struct Running {
    node: NodeId,
    stop: CancellationToken,
    is_over: bool,
    /// Who started it was not told so.
    is_doubtful: bool,
}

/// The engine as one supervisor reaches it.
pub struct Reached {
    engine: Engine,
    here: Here,
    changed: Arc<Notify>,
}

impl Engine {
    /// With the files of sandboxes in `folder`.
    pub fn new(folder: PathBuf, has_liars: bool) -> Self {
        let (instances, volumes, listeners) = (BTreeMap::new(), BTreeSet::new(), Vec::new());
        let (deceived, haunted, broken) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
        let state = State {
            folder,
            instances,
            volumes,
            listeners,
            has_liars,
            deceived,
            haunted,
            is_calm: false,
            broken,
        };
        Self(Arc::new(Mutex::new(state)))
    }

    pub fn reached_from(&self, here: &Here) -> Reached {
        let changed = Arc::new(Notify::new());
        self.0.lock().listeners.push((here.node, changed.clone()));
        Reached { engine: self.clone(), here: here.clone(), changed }
    }

    pub fn calm_down(&self) {
        self.0.lock().is_calm = true;
    }

    /// What supervisors have done and must not.
    pub fn broken(&self) -> Vec<String> {
        self.0.lock().broken.clone()
    }

    /// Notes what must not be so.
    pub fn complain(&self, text: String) {
        self.0.lock().broken.push(text);
    }

    /// Whether a worker of this tenant was a liar: what it was told may be anything.
    pub fn has_lied_to(&self, tenant: &TenantId) -> bool {
        self.0.lock().deceived.contains(tenant)
    }

    /// Whether a worker of this sandbox was one: its logs may hold anything.
    pub fn has_lied_in(&self, sandbox: &SandboxId) -> bool {
        self.0.lock().haunted.contains(sandbox)
    }

    /// Whether a worker that starts now is to be a liar, and for whom.
    fn deceives(&self, world: &World, sandbox: &SandboxId) -> Option<TenantId> {
        {
            let state = self.0.lock();
            if !state.has_liars || state.is_calm {
                return None;
            }
        }
        let wanted = world.stored(|store| store.get(SANDBOXES, sandbox.as_str()));
        let wanted = wanted.and_then(|entry| serde_json::from_slice::<Wanted>(&entry.value).ok());
        let tenant = wanted?.tenant.filter(|tenant| tenant.as_str() == LIED_TO)?;
        world.dice().bool().then_some(tenant)
    }

    /// What runs, by sandbox.
    pub fn running(&self) -> Vec<Instance> {
        let state = self.0.lock();
        let running = state.instances.iter().filter(|(_, running)| !running.is_over);
        running.map(|((sandbox, epoch), _)| instance(sandbox, *epoch)).collect()
    }

    /// What runs and was not asked to end.
    pub fn at_work(&self) -> Vec<Instance> {
        let state = self.0.lock();
        let is_at_work = |running: &Running| !running.is_over && !running.stop.is_cancelled();
        let at_work = state.instances.iter().filter(|(_, running)| is_at_work(running));
        at_work.map(|((sandbox, epoch), _)| instance(sandbox, *epoch)).collect()
    }

    /// Sandboxes that have files.
    pub fn volumes(&self) -> BTreeSet<SandboxId> {
        self.0.lock().volumes.clone()
    }

    fn start(&self, world: &World, wanted: &Instance, is_doubtful: bool) {
        let key = (wanted.sandbox.clone(), wanted.epoch.0);
        if self.0.lock().instances.contains_key(&key) {
            return;
        }
        let (engine, stop, folder) = (self.clone(), CancellationToken::new(), self.0.lock().folder.clone());
        let deceived = self.deceives(world, &wanted.sandbox);
        let is_doubtful = is_doubtful || deceived.is_some();
        let work: Start = match &deceived {
            Some(_) => Box::new(liar::work(wanted.clone(), self.clone())),
            None => Box::new(worker::work(wanted.clone(), folder, stop.clone())),
        };
        let own = key.clone();
        let when_over = move |world: &World, _| {
            if let Some(running) = engine.0.lock().instances.get_mut(&own) {
                running.is_over = true;
            }
            engine.tell(world);
        };
        let node = world.start(format!("worker {} {}", wanted.sandbox, wanted.epoch.0), work, when_over);
        let mut state = self.0.lock();
        if let Some(tenant) = deceived {
            state.deceived.insert(tenant);
            state.haunted.insert(wanted.sandbox.clone());
        }
        state.volumes.insert(wanted.sandbox.clone());
        state.instances.insert(key, Running { node, stop, is_over: false, is_doubtful });
    }

    /// Asks it to end, or ends it; whether it is gone.
    fn stop(&self, world: &World, instance: &Instance, by_force: bool) -> bool {
        let key = (instance.sandbox.clone(), instance.epoch.0);
        let Some((node, stop, is_over)) = self.0.lock().instances.get(&key).map(Running::parts) else {
            return true;
        };
        if is_over {
            self.0.lock().instances.remove(&key);
            return true;
        }
        stop.cancel();
        world.wake(node);
        if by_force {
            world.kill(node);
        }
        false
    }

    /// Notes it where a worker is ended by force with which nothing is wrong.
    fn judge(&self, world: &World, by: NodeId, instance: &Instance) {
        let key = (instance.sandbox.clone(), instance.epoch.0);
        let is_plain = |running: &&Running| !running.is_over && !running.is_doubtful;
        let Some(node) = self.0.lock().instances.get(&key).filter(is_plain).map(|running| running.node)
        else {
            return;
        };
        let now = world.now();
        let wanted = world.stored(|store| store.get(SANDBOXES, instance.sandbox.as_str()));
        let wanted = wanted.and_then(|entry| serde_json::from_slice::<Wanted>(&entry.value).ok());
        let is_wanted = wanted.is_some_and(|wanted| wanted.want == Want::Running);
        let since = now.saturating_sub(FORGOTTEN);
        // Whose deputies are ill may not be able to renew its lease.
        let is_served = world.are_innocent("gateway", since);
        if is_wanted && is_served && world.is_innocent(node, since) && world.is_innocent(by, since) {
            let text = format!("{instance:?} is ended at {now:?}, and nothing was wrong with it");
            self.0.lock().broken.push(text);
        }
    }

    fn tell(&self, world: &World) {
        for (node, changed) in &self.0.lock().listeners {
            changed.notify_one();
            world.wake(*node);
        }
    }

    fn list(&self) -> Vec<Found> {
        let found = |((sandbox, epoch), running): (&(SandboxId, u64), &Running)| Found {
            instance: instance(sandbox, *epoch),
            state: match running.is_over {
                true => InstanceState::Exited { code: None },
                false => InstanceState::Running,
            },
        };
        self.0.lock().instances.iter().map(found).collect()
    }
}

impl Running {
    fn parts(&self) -> (NodeId, CancellationToken, bool) {
        (self.node, self.stop.clone(), self.is_over)
    }
}

impl Reached {
    /// One of so many times, unless all is calm.
    fn fails(&self, one_of: u32) -> bool {
        !self.engine.0.lock().is_calm && fastrand::u32(..one_of) == 0
    }
}

fn instance(sandbox: &SandboxId, epoch: u64) -> Instance {
    Instance { sandbox: sandbox.clone(), epoch: types::Epoch(epoch) }
}

fn away() -> Error {
    Error::Unavailable("the engine does not answer".to_owned())
}

#[async_trait]
impl Driver for Reached {
    async fn list(&self) -> Result<Vec<Found>> {
        if self.fails(60) {
            return Err(away());
        }
        let engine = self.engine.clone();
        Ok(self.here.outside(move |_| engine.list()).await)
    }

    async fn start(&self, launch: &Launch) -> std::result::Result<(), StartError> {
        sleep(Duration::from_millis(fastrand::u64(20..2_000))).await;
        if self.fails(10) {
            return Err(StartError::Failed("It could not be started.".to_owned()));
        }
        let (engine, wanted, is_lost) = (self.engine.clone(), launch.instance.clone(), self.fails(40));
        self.here.outside(move |world| engine.start(world, &wanted, is_lost)).await;
        match is_lost {
            true => Err(StartError::Unavailable("no answer".to_owned())),
            false => Ok(()),
        }
    }

    async fn stop(&self, instance: &Instance, grace: Duration) -> Result<()> {
        if grace.is_zero() {
            let (engine, instance, by) = (self.engine.clone(), instance.clone(), self.here.node);
            self.here.outside(move |world| engine.judge(world, by, &instance)).await;
        }
        let mut waited = Duration::ZERO;
        loop {
            if self.fails(80) {
                return Err(away());
            }
            let (engine, instance, by_force) = (self.engine.clone(), instance.clone(), waited >= grace);
            if self.here.outside(move |world| engine.stop(world, &instance, by_force)).await {
                return Ok(());
            }
            const OFTEN: Duration = Duration::from_millis(200);
            sleep(OFTEN).await;
            waited += OFTEN;
        }
    }

    async fn log(&self, _: &Instance) -> String {
        String::new()
    }

    async fn remove_files(&self, sandbox: &SandboxId) -> Result<()> {
        let (engine, sandbox) = (self.engine.clone(), sandbox.clone());
        let removing = self.here.outside(move |_| {
            let mut state = engine.0.lock();
            let is_used = state.instances.keys().any(|(of, _)| *of == sandbox);
            if !is_used {
                state.volumes.remove(&sandbox);
            }
            is_used
        });
        if removing.await { Err(away()) } else { Ok(()) }
    }

    async fn changed(&self) -> Option<SandboxId> {
        self.changed.notified().await;
        None
    }
}
