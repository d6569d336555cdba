//! Compares what is wanted with what there is, and takes the steps that are missing: one at a time for each
//! sandbox, those of different sandboxes side by side.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::future::pending;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future;
use ports::{Error, Result};
use tokio::task::{self, JoinError, JoinSet};
use types::SandboxId;
use types::buckets::{DEPUTIES_KEY, LEASES};
use types::placement::FailureReason;

use crate::act::Actor;
use crate::decide::{Circumstances, Step, decide, is_known};
use crate::deputies::{Deputies, Service};
use crate::memory::Memory;
use crate::moment::Moment;
use crate::pool;
use crate::pulse::Sign;
use crate::room::{Headroom, Limits};
use crate::scope::Scope;
use crate::view::{self, Demand, View};
use crate::{InstanceState, RESYNC};

/// Until it is known whether a lease that has run out could have been renewed.
const UNSURE: Duration = Duration::from_secs(1);

/// Steps under way at a time: more would only wait for the driver, and run out of its patience.
const AT_ONCE: usize = 16;
/// Of them, those that remove files: how long that takes is up to whoever made them, and others want to start.
const ERASURES_AT_ONCE: usize = 4;

/// What the reconciler goes by.
#[derive(Clone, Debug)]
pub struct Rules {
    pub demand: Demand,
    /// Whether workers hold leases.
    pub leases: bool,
    pub warm_workers: usize,
    pub idle_limit: Option<Duration>,
    /// How long an instance may wait for what it runs on, before another is tried.
    pub pending_limit: Duration,
    pub limits: Limits,
}

pub struct Reconciler {
    rules: Rules,
    actor: Arc<Actor>,
    /// As they were when each was looked at last.
    views: BTreeMap<SandboxId, Arc<View>>,
    memories: HashMap<SandboxId, Memory>,
    busy: HashMap<SandboxId, task::Id>,
    erasures: HashSet<task::Id>,
    steps: JoinSet<(SandboxId, Memory)>,
    queues: Queues,
    /// What the last look has left of the limits.
    room: Headroom,
    driver_is_away: bool,
    deputies: Deputies,
    service: Service,
    /// How often it was seen that nobody can renew a lease.
    outages: u64,
}

/// What is to be looked at though nothing is heard of it.
#[derive(Default)]
struct Queues {
    /// At the next look.
    next: Scope,
    /// When nothing was heard until then.
    due: HashMap<SandboxId, Instant>,
    /// All of them; `None`: now.
    all: Option<Instant>,
    /// When a step under way has ended.
    steps: BTreeSet<SandboxId>,
    /// When an erasure under way has ended.
    erasures: BTreeSet<SandboxId>,
    /// When there is more room for sandboxes.
    room: BTreeSet<SandboxId>,
}

impl Queues {
    fn leave(&mut self, sandbox: &SandboxId) {
        self.due.remove(sandbox);
        for queue in [&mut self.steps, &mut self.erasures, &mut self.room] {
            queue.remove(sandbox);
        }
    }

    /// How long nothing is to be looked at.
    fn left(&self, now: Instant) -> Duration {
        let Some(all) = self.all.filter(|_| self.next.is_nothing()) else { return Duration::ZERO };
        let first = self.due.values().copied().min().map_or(all, |due| due.min(all));
        first.saturating_duration_since(now)
    }
}

/// The first of a queue.
fn some(queue: &BTreeSet<SandboxId>, count: usize) -> Scope {
    queue.iter().take(count).cloned().collect()
}

impl Reconciler {
    pub fn new(rules: Rules, actor: Actor) -> Self {
        Self {
            rules,
            actor: Arc::new(actor),
            views: BTreeMap::new(),
            memories: HashMap::new(),
            busy: HashMap::new(),
            erasures: HashSet::new(),
            steps: JoinSet::new(),
            queues: Queues::default(),
            room: Headroom::default(),
            driver_is_away: false,
            deputies: Deputies::default(),
            service: Service::default(),
            outages: 0,
        }
    }

    /// Looks once at what `scope` says and at what is due, and begins the steps that are; answers how long nothing more is.
    ///
    /// # Errors
    /// When the records cannot be read or the pool cannot be filled. Then workers could not renew their
    /// leases either: each gets its time anew.
    pub async fn look(&mut self, scope: Scope, now: Moment) -> Result<Duration> {
        // Steps that end from here on were not seen by this look: their sandboxes stay busy until the next.
        let looked = self.look_at(scope, now).await;
        if looked.is_err() {
            self.queues.all = None;
        }
        looked
    }

    async fn look_at(&mut self, scope: Scope, now: Moment) -> Result<Duration> {
        let seen = match self.read(self.due(scope, now.instant)).await {
            Ok(seen) => seen,
            Err(error) => {
                self.outages += 1;
                return Err(error);
            }
        };
        let looked_at = self.take_in(seen, now);
        let actor = self.actor.clone();
        if self.rules.leases {
            self.outages += u64::from(self.service == Service::Away);
            actor.metrics.stand(&view::counts(self.all_views()));
        }
        let mut room =
            Headroom::of(self.rules.limits, self.all_views(), |view| self.busy.contains_key(&view.sandbox));
        if room.has_grown_since(&self.room) {
            self.queues.next.add(self.queues.room.iter().cloned().collect());
        }
        let for_pool = room.left().saturating_sub(self.about_to_be_granted());
        if pool::fill(&actor, self.all_views(), self.rules.warm_workers, for_pool, now).await? {
            self.queues.all = None;
        }
        for sandbox in looked_at {
            self.attend(&sandbox, &mut room, now);
        }
        self.room = room;
        Ok(self.queues.left(now.instant))
    }

    fn all_views(&self) -> impl Iterator<Item = &View> {
        self.views.values().map(AsRef::as_ref)
    }

    /// How many will take room that they do not have yet.
    fn about_to_be_granted(&self) -> usize {
        let is_at_rest = |view: &&View| !self.busy.contains_key(&view.sandbox);
        self.all_views().filter(is_at_rest).filter(|view| is_to_be_granted(view)).count()
    }

    /// With what is due by itself.
    fn due(&self, mut scope: Scope, now: Instant) -> Scope {
        let queues = &self.queues;
        scope.add(queues.next.clone());
        let is_due = |(sandbox, due): (&SandboxId, &Instant)| (*due <= now).then(|| sandbox.clone());
        scope.add(queues.due.iter().filter_map(is_due).collect());
        let places = AT_ONCE.saturating_sub(self.steps.len());
        scope.add(some(&queues.steps, places));
        scope.add(some(&queues.erasures, places.min(ERASURES_AT_ONCE.saturating_sub(self.erasures.len()))));
        match queues.all {
            Some(all) if all > now => scope.widened(),
            _ => Scope::All,
        }
    }

    async fn read(&self, scope: Scope) -> Result<Seen> {
        let (kv, driver) = (self.actor.kv.as_ref(), self.actor.driver.as_ref());
        let demand = &self.rules.demand;
        let (views, outage) = match &scope {
            Scope::All => view::read(kv, driver, demand).await?,
            Scope::Of(sandboxes) => {
                let reads = sandboxes.iter().map(|sandbox| view::read_one(kv, driver, demand, sandbox));
                let (views, outages): (Vec<_>, Vec<_>) =
                    future::try_join_all(reads).await?.into_iter().unzip();
                (views.into_iter().flatten().collect(), outages.into_iter().flatten().next())
            }
        };
        let note = if self.rules.leases { kv.get(LEASES, DEPUTIES_KEY).await? } else { None };
        Ok(Seen { scope, views, outage, note: note.map(|note| note.revision) })
    }

    /// Answers which sandboxes were looked at.
    fn take_in(&mut self, seen: Seen, now: Moment) -> BTreeSet<SandboxId> {
        let Seen { scope, views, outage, note } = seen;
        if !scope.is_nothing() {
            self.tell_of(outage);
        }
        if self.rules.leases {
            self.service = self.deputies.look(note, now.instant);
        }
        match &scope {
            Scope::All => {
                self.queues = Queues { all: Some(now.instant + RESYNC), ..Queues::default() };
                self.views.clear();
            }
            Scope::Of(sandboxes) => {
                self.queues.next = Scope::default();
                for sandbox in sandboxes {
                    self.queues.leave(sandbox);
                    self.views.remove(sandbox);
                }
            }
        }
        self.views.extend(views.into_iter().map(|view| (view.sandbox.clone(), Arc::new(view))));
        self.memories.retain(|sandbox, _| self.views.contains_key(sandbox));
        match scope {
            Scope::All => self.views.keys().cloned().collect(),
            Scope::Of(sandboxes) => sandboxes,
        }
    }

    /// Once: looks may be many while the driver is away.
    fn tell_of(&mut self, outage: Option<Error>) {
        let was_away = std::mem::replace(&mut self.driver_is_away, outage.is_some());
        match outage {
            Some(error) if !was_away => tracing::warn!(%error, "the instances cannot be listed"),
            None if was_away => tracing::info!("the instances can be listed again"),
            _ => {}
        }
    }

    /// Begins the step that is due for one sandbox, or notes how long none is.
    fn attend(&mut self, sandbox: &SandboxId, room: &mut Headroom, now: Moment) {
        // What a step under way changes is looked at when it has ended.
        let view = self.views.get(sandbox).filter(|_| !self.busy.contains_key(sandbox));
        let Some(view) = view.cloned() else { return };
        let mut memory = self.memories.remove(sandbox).unwrap_or_default();
        let step = self.choose(&view, &mut memory, room, now);
        let wait = match &step {
            Step::Wait(wait) => {
                memory.repeats.forget();
                Some(*wait)
            }
            due => memory.repeats.pause(due, now.instant).or_else(|| self.queued(due, sandbox)),
        };
        if let Some(wait) = wait {
            self.memories.insert(sandbox.clone(), memory);
            self.queues.due.insert(sandbox.clone(), now.instant + wait);
            return;
        }
        let is_erasure = step == Step::Erase;
        let running = self.steps.spawn(take(self.actor.clone(), step, view, memory, now)).id();
        self.busy.insert(sandbox.clone(), running);
        if is_erasure {
            self.erasures.insert(running);
        }
    }

    /// Has the sandbox wait where too many steps are under way.
    fn queued(&mut self, step: &Step, sandbox: &SandboxId) -> Option<Duration> {
        // A grant asks nothing of the driver.
        let has_place = *step == Step::Grant || self.steps.len() < AT_ONCE;
        let queue = match step {
            Step::Erase if self.erasures.len() >= ERASURES_AT_ONCE => &mut self.queues.erasures,
            _ if has_place => return None,
            _ => &mut self.queues.steps,
        };
        queue.insert(sandbox.clone());
        Some(RESYNC)
    }

    fn choose(&mut self, view: &View, memory: &mut Memory, room: &mut Headroom, now: Moment) -> Step {
        let newest = view.newest_instance().map(|found| &found.state);
        if matches!(newest, Some(InstanceState::Pending(_) | InstanceState::Untold)) {
            memory.pulse.defer();
        }
        memory.heed(view);
        let sign = if self.rules.leases {
            let lease = view.lease.as_ref().map(|lease| lease.value.epoch);
            memory.course.see(lease, now.instant, &self.actor.metrics);
            let revision = view.own_lease().and_then(|lease| lease.revision());
            memory.bear_with(self.outages);
            memory.is_excused = self.service == Service::Away;
            match memory.pulse.listen(view.epoch(), revision, now.instant) {
                Sign::Late | Sign::Lost if self.service != Service::Served => Sign::Awaited(UNSURE),
                sign => sign,
            }
        } else {
            Sign::Leased(RESYNC)
        };
        let may_live =
            matches!(newest, Some(InstanceState::Running | InstanceState::Untold | InstanceState::Doomed(_)));
        if may_live && (!self.rules.leases || memory.pulse.is_fresh()) {
            memory.lives(view.epoch());
        }
        memory.woken = view.wakes();
        memory.seen = view.newest_instance().map(|found| found.instance.epoch).or(memory.seen);
        let circumstances = Circumstances {
            sign,
            was_seen: memory.seen == Some(view.allocation.value.epoch),
            untouched_for: memory.untouched_for(view, now.instant),
            omen: memory.omen(view.allocation.value.epoch),
            patience: memory.patience(view, self.rules.pending_limit, now.instant),
            leaving_for: memory.leaving_for(view, now.instant),
            retry_in: memory.retry_in(now.instant),
            unwanted_for: memory.unwanted_for(view.wanted.is_some(), now.instant),
            idle_limit: self.rules.idle_limit,
            renewal_is_due: self.rules.leases
                && memory.renewal_is_due(&view.sandbox, view.epoch(), now.instant),
        };
        let step = decide(view, &circumstances);
        let Some(tenant) = view.tenant() else { return step };
        match step {
            Step::Start(epoch) => match room.take(tenant) {
                Ok(()) => Step::Start(epoch),
                Err(_) if is_known(view, FailureReason::NoRoom) => {
                    self.queues.room.insert(view.sandbox.clone());
                    Step::Wait(RESYNC)
                }
                Err(full) => Step::Refuse(FailureReason::NoRoom, full.into()),
            },
            // It runs already: whether it may is asked here, as for a start.
            Step::Wait(_) | Step::Adopt(_) | Step::Renew(_) | Step::Pause if is_to_be_granted(view) => {
                room.take(tenant).map_or_else(Step::TurnOut, |()| Step::Grant)
            }
            step => step,
        }
    }

    /// Returns when a step has ended: then it is time to look again.
    ///
    /// # Cancel safety
    /// Dropping it loses nothing.
    pub async fn step_ended(&mut self) {
        match self.steps.join_next_with_id().await {
            Some(ended) => self.note(ended),
            None => pending().await,
        }
    }

    #[cfg(test)]
    pub fn kv(&self) -> &dyn ports::Kv {
        self.actor.kv.as_ref()
    }

    #[cfg(test)]
    pub fn is_at_rest(&self) -> bool {
        self.steps.is_empty()
    }

    /// Waits for all steps under way.
    pub async fn finish(&mut self) {
        while let Some(ended) = self.steps.join_next_with_id().await {
            self.note(ended);
        }
    }

    fn note(&mut self, ended: std::result::Result<(task::Id, (SandboxId, Memory)), JoinError>) {
        let id = match ended {
            Ok((id, (sandbox, memory))) => {
                self.memories.insert(sandbox, memory);
                id
            }
            Err(error) => {
                tracing::error!(%error, "a step has panicked");
                error.id()
            }
        };
        self.erasures.remove(&id);
        let ended = self.busy.extract_if(|_, step| *step == id).map(|(sandbox, _)| sandbox);
        self.queues.next.add(ended.collect());
    }
}

/// What a look has read.
struct Seen {
    scope: Scope,
    views: Vec<View>,
    /// Why the driver does not answer.
    outage: Option<Error>,
    /// The revision of the note of those who serve workers.
    note: Option<u64>,
}

fn is_to_be_granted(view: &View) -> bool {
    view.is_claimed() && view.wants_running() && view.newest_instance().is_some()
}

async fn take(
    actor: Arc<Actor>,
    step: Step,
    view: Arc<View>,
    mut memory: Memory,
    now: Moment,
) -> (SandboxId, Memory) {
    match actor.take(step.clone(), &view, &mut memory, now).await {
        Ok(()) => memory.repeats.taken(step, true),
        // Somebody else was faster, and has changed something: the next look sees what.
        Err(Error::Conflict { .. }) => memory.repeats.lost(),
        Err(error) => {
            tracing::warn!(sandbox.id = %view.sandbox, %error, "a step could not be taken");
            memory.repeats.taken(step, false);
        }
    }
    (view.sandbox.clone(), memory)
}
