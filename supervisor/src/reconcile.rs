//! Compares what is wanted with what there is, and takes the steps that are missing: one at a time for each
//! sandbox, those of different sandboxes side by side.

use std::collections::{HashMap, HashSet};
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

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
    pub limits: Limits,
}

pub struct Reconciler {
    rules: Rules,
    actor: Arc<Actor>,
    memories: HashMap<SandboxId, Memory>,
    busy: HashMap<SandboxId, task::Id>,
    erasures: HashSet<task::Id>,
    steps: JoinSet<(SandboxId, Memory)>,
    driver_is_away: bool,
    deputies: Deputies,
    service: Service,
    /// How often it was seen that nobody can renew a lease.
    outages: u64,
}

impl Reconciler {
    pub fn new(rules: Rules, actor: Actor) -> Self {
        let (memories, busy, steps) = (HashMap::new(), HashMap::new(), JoinSet::new());
        let (erasures, deputies) = (HashSet::new(), Deputies::default());
        Self {
            rules,
            actor: Arc::new(actor),
            memories,
            busy,
            erasures,
            steps,
            driver_is_away: false,
            deputies,
            service: Service::default(),
            outages: 0,
        }
    }

    /// Looks at everything once and begins the steps that are due; answers how long nothing more is.
    ///
    /// # Errors
    /// When the records cannot be read or the pool cannot be filled. Then workers could not renew their
    /// leases either: each gets its time anew.
    pub async fn look(&mut self, now: Moment) -> Result<Duration> {
        // Steps that end from here on were not seen by this look: their sandboxes stay busy until the next.
        let actor = self.actor.clone();
        let (views, outage, note) = match self.read().await {
            Ok(read) => read,
            Err(error) => {
                self.outages += 1;
                return Err(error);
            }
        };
        self.tell_of(outage);
        if self.rules.leases {
            self.service = self.deputies.look(note, now.instant);
            self.outages += u64::from(self.service == Service::Away);
            actor.metrics.stand(&view::counts(&views));
        }
        let mut room = Headroom::of(self.rules.limits, &views, |view| self.busy.contains_key(&view.sandbox));
        let is_known = |sandbox: &SandboxId| views.binary_search_by(|view| view.sandbox.cmp(sandbox)).is_ok();
        self.memories.retain(|sandbox, _| is_known(sandbox));
        // They are about to be given room.
        let claimed = views.iter().filter(|view| is_to_be_granted(view)).count();
        let for_pool = room.left().saturating_sub(claimed);
        let has_changed = pool::fill(&actor, &views, self.rules.warm_workers, for_pool, now).await?;
        let mut next = if has_changed { Duration::ZERO } else { RESYNC };
        for view in views {
            if !self.busy.contains_key(&view.sandbox) {
                next = next.min(self.attend(view, &mut room, now));
            }
        }
        Ok(next)
    }

    /// The views, why the driver does not answer, and the revision of the note of those who serve workers.
    async fn read(&self) -> Result<(Vec<View>, Option<Error>, Option<u64>)> {
        let (kv, driver) = (self.actor.kv.as_ref(), self.actor.driver.as_ref());
        let (views, outage) = view::read(kv, driver, &self.rules.demand).await?;
        let note = if self.rules.leases { kv.get(LEASES, DEPUTIES_KEY).await? } else { None };
        Ok((views, outage, note.map(|note| note.revision)))
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

    /// Begins the step that is due for one sandbox, or answers how long none is.
    fn attend(&mut self, view: View, room: &mut Headroom, now: Moment) -> Duration {
        let mut memory = self.memories.remove(&view.sandbox).unwrap_or_default();
        let step = self.choose(&view, &mut memory, room, now);
        let wait = match &step {
            Step::Wait(wait) => {
                memory.repeats.forget();
                Some(*wait)
            }
            // The end of a step is followed by another look.
            due => memory.repeats.pause(due, now.instant).or_else(|| self.is_full_for(due).then_some(RESYNC)),
        };
        if let Some(wait) = wait {
            self.memories.insert(view.sandbox, memory);
            return wait;
        }
        let (sandbox, is_erasure) = (view.sandbox.clone(), step == Step::Erase);
        let running = self.steps.spawn(take(self.actor.clone(), step, view, memory, now)).id();
        self.busy.insert(sandbox, running);
        if is_erasure {
            self.erasures.insert(running);
        }
        RESYNC
    }

    fn is_full_for(&self, step: &Step) -> bool {
        let has_erasures = self.erasures.len() >= ERASURES_AT_ONCE;
        // A grant asks nothing of the driver.
        *step != Step::Grant && self.steps.len() >= AT_ONCE || *step == Step::Erase && has_erasures
    }

    fn choose(&self, view: &View, memory: &mut Memory, room: &mut Headroom, now: Moment) -> Step {
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
        let newest = view.newest_instance().map(|found| found.state);
        let is_alive = !self.rules.leases || memory.pulse.is_fresh();
        if is_alive && newest == Some(InstanceState::Running) {
            memory.lives(view);
        }
        memory.seen = view.newest_instance().map(|found| found.instance.epoch).or(memory.seen);
        let circumstances = Circumstances {
            sign,
            was_seen: memory.seen == Some(view.allocation.value.epoch),
            untouched_for: memory.untouched_for(view, now.instant),
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
                Err(_) if is_known(view, FailureReason::NoRoom) => Step::Wait(RESYNC),
                Err(full) => Step::Refuse(FailureReason::NoRoom, full),
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
        self.busy.retain(|_, step| *step != id);
        self.erasures.remove(&id);
    }
}

fn is_to_be_granted(view: &View) -> bool {
    view.is_claimed() && view.wants_running() && view.newest_instance().is_some()
}

async fn take(
    actor: Arc<Actor>,
    step: Step,
    view: View,
    mut memory: Memory,
    now: Moment,
) -> (SandboxId, Memory) {
    match actor.take(step.clone(), &view, &mut memory, now).await {
        Ok(()) => memory.repeats.taken(step, true),
        // Somebody else was faster, and has changed something: the next look sees what.
        Err(Error::Conflict { .. }) => {}
        Err(error) => {
            tracing::warn!(sandbox.id = %view.sandbox, %error, "a step could not be taken");
            memory.repeats.taken(step, false);
        }
    }
    (view.sandbox, memory)
}
