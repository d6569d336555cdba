//! What is counted of sandboxes.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Seconds.
const BUCKETS: [f64; 10] = [0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 1.5, 3.0, 10.0, 60.0];

/// Sandboxes, as a supervisor sees them.
#[derive(Clone, Debug)]
pub struct Placement {
    lease_changes: Counter,
    starts: Family<Outcome, Counter>,
    start_seconds: Histogram,
    sandboxes: Family<State, Gauge>,
    runs: Gauge,
}

/// How many sandboxes stand how, at one look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SandboxCounts {
    /// Wanted, and without a lease.
    pub waiting: usize,
    /// With a worker, and of a tenant.
    pub running: usize,
    /// With a worker, waiting for a tenant.
    pub warm: usize,
    pub paused: usize,
    /// Runs under way, as the workers tell.
    pub runs: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct State {
    state: &'static str,
}

impl Placement {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let new = Self {
            lease_changes: Counter::default(),
            starts: Family::default(),
            start_seconds: Histogram::new(BUCKETS),
            sandboxes: Family::default(),
            runs: Gauge::default(),
        };
        registry.register(
            "lease_changes",
            "Leases taken by another epoch, or lost",
            new.lease_changes.clone(),
        );
        registry.register("sandbox_starts", "Instances started", new.starts.clone());
        registry.register(
            "sandbox_start_seconds",
            "Time until an instance's lease",
            new.start_seconds.clone(),
        );
        registry.register("sandboxes", "Sandboxes by what they do", new.sandboxes.clone());
        registry.register("sandbox_runs", "Runs under way, as workers tell", new.runs.clone());
        new
    }

    /// A sandbox has a lease of another epoch than before, or none any more.
    pub fn lease_changed(&self) {
        self.lease_changes.inc();
    }

    /// An instance got its lease, or failed to.
    pub fn started(&self, ok: bool, took: Duration) {
        self.starts.get_or_create(&Outcome { outcome: if ok { "ok" } else { "failed" } }).inc();
        if ok {
            self.start_seconds.observe(took.as_secs_f64());
        }
    }

    /// What the newest look has found.
    pub fn stand(&self, counts: &SandboxCounts) {
        let SandboxCounts { waiting, running, warm, paused, runs } = *counts;
        let states = [("waiting", waiting), ("running", running), ("warm", warm), ("paused", paused)];
        for (state, count) in states {
            self.sandboxes.get_or_create(&State { state }).set(whole(count));
        }
        self.runs.set(whole(runs));
    }
}

fn whole(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
