//! Looks at the sandboxes of a cluster while clients work: what is wrong for a moment need not be wrong, what stays so is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use supervisor::Limits;
use types::buckets::{ALLOCATIONS, SANDBOXES};
use types::placement::{Allocation, Want, Wanted};

use super::RECOVERY;
use super::check::all;
use super::engine::Engine;
use crate::world::{Store, World};

const OFTEN: Duration = Duration::from_secs(1);
/// For a supervisor to see it, and to have a worker stopped or started.
const PATIENCE: Duration = Duration::from_secs(60);
/// Nothing that goes on then makes too many run.
const AT_ONCE: Duration = Duration::from_secs(2);

pub struct Watch {
    engine: Engine,
    limits: Limits,
    looked: Duration,
    /// What is wrong, since when.
    wrong: BTreeMap<Wrong, Duration>,
    broken: BTreeSet<Wrong>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Wrong {
    /// Whoever has to will set it right.
    ForNow(String),
    /// It may only be left over from worse times.
    Never(String),
}

impl Watch {
    pub fn new(engine: Engine, limits: Limits) -> Self {
        Self { engine, limits, looked: Duration::ZERO, wrong: BTreeMap::new(), broken: BTreeSet::new() }
    }

    /// To be called often.
    pub fn look(&mut self, world: &World) {
        let now = world.now();
        if now < self.looked + OFTEN {
            return;
        }
        self.looked = now;
        let wrong = world.stored(|store| self.wrong(store));
        self.wrong.retain(|known, _| wrong.contains(known));
        let trouble = world.last_trouble();
        let calm = if trouble.is_zero() { trouble } else { trouble + RECOVERY };
        for wrong in wrong {
            let since = *self.wrong.entry(wrong.clone()).or_insert(now);
            let is_broken = match &wrong {
                Wrong::ForNow(_) => now >= since.max(calm) + PATIENCE,
                Wrong::Never(_) => since >= calm && now >= since + AT_ONCE,
            };
            if is_broken {
                self.broken.insert(wrong);
            }
        }
    }

    /// What was wrong and must not have been.
    pub fn broken(&self) -> impl Iterator<Item = String> {
        self.broken.iter().map(|wrong| format!("while clients worked: {wrong:?}"))
    }

    fn wrong(&self, store: &Store) -> BTreeSet<Wrong> {
        let wanted: BTreeMap<String, Wanted> = all(store, SANDBOXES);
        let allocations: BTreeMap<String, Allocation> = all(store, ALLOCATIONS);
        let mut workers: BTreeMap<String, usize> = BTreeMap::new();
        for instance in self.engine.at_work() {
            *workers.entry(instance.sandbox.to_string()).or_default() += 1;
        }
        let (mut wrong, mut used) = (BTreeSet::new(), BTreeMap::<&str, usize>::new());
        for (sandbox, count) in &workers {
            let wanted = wanted.get(sandbox);
            if *count > 1 {
                wrong.insert(Wrong::ForNow(format!("sandbox {sandbox} has {count} workers")));
            }
            if wanted.is_none_or(|wanted| wanted.want == Want::Deleted) {
                wrong.insert(Wrong::ForNow(format!("sandbox {sandbox} works for nobody")));
            }
            let tenant = wanted.filter(|wanted| !wanted.is_claimed).and_then(|wanted| wanted.tenant.as_ref());
            if let Some(tenant) = tenant {
                *used.entry(tenant.as_str()).or_default() += 1;
            }
        }
        for (sandbox, _) in wanted.iter().filter(|(_, wanted)| wanted.want == Want::Running) {
            let has_failed = allocations.get(sandbox).is_some_and(|allocation| allocation.failure.is_some());
            if !workers.contains_key(sandbox) && !has_failed {
                wrong.insert(Wrong::ForNow(format!("sandbox {sandbox} is wanted and has no worker")));
            }
        }
        let is_over = |limit: Option<usize>, count: usize| limit.is_some_and(|limit| count > limit);
        for (tenant, _) in used.iter().filter(|(_, count)| is_over(self.limits.per_tenant, **count)) {
            wrong.insert(Wrong::Never(format!("{tenant} has more sandboxes than it may")));
        }
        if is_over(self.limits.per_node, used.values().sum()) {
            wrong.insert(Wrong::Never("more sandboxes run than may".to_owned()));
        }
        wrong
    }
}
