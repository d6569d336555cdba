//! What is counted of one sandbox from look to look: how its starts went, and whose lease was seen last.

use std::time::Instant;

use telemetry::metrics::Placement;
use types::Epoch;

#[derive(Debug, Default)]
pub struct Course {
    /// The start that has no outcome yet.
    starting: Option<(Epoch, Instant)>,
    leased: Option<Epoch>,
}

impl Course {
    pub fn begin(&mut self, epoch: Epoch, now: Instant) {
        self.starting = Some((epoch, now));
    }

    /// Takes note of the newest lease.
    pub fn see(&mut self, lease: Option<Epoch>, now: Instant, metrics: &Placement) {
        if lease != self.leased {
            metrics.lease_changed();
            self.leased = lease;
        }
        if let Some((_, begun)) = self.starting.take_if(|(epoch, _)| lease == Some(*epoch)) {
            metrics.started(true, now.saturating_duration_since(begun));
        }
    }

    /// There is no worker. Unless one had started, its start has failed.
    pub fn fail(&mut self, now: Instant, metrics: &Placement) {
        if let Some((_, begun)) = self.starting.take() {
            metrics.started(false, now.saturating_duration_since(begun));
        }
    }
}
