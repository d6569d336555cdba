//! One comparison of what is wanted with what runs.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ports::{Driver, Kv, Result, Unit};
use types::SandboxId;

use crate::RESYNC;
use crate::allocation::next_epoch;
use crate::backoff::Backoff;

pub struct Reconciler {
    wanted: Vec<SandboxId>,
    kv: Arc<dyn Kv>,
    driver: Arc<dyn Driver>,
    backoffs: HashMap<SandboxId, Backoff>,
}

impl Reconciler {
    pub fn new(wanted: Vec<SandboxId>, kv: Arc<dyn Kv>, driver: Arc<dyn Driver>) -> Self {
        Self { wanted, kv, driver, backoffs: HashMap::new() }
    }

    /// Stops what is not wanted, starts what is missing; answers how long nothing more is due.
    pub async fn step(&mut self, now: Instant) -> Result<Duration> {
        let running = self.driver.list().await?;
        for unit in self.superfluous(&running) {
            tracing::info!(sandbox.id = %unit.sandbox, epoch = unit.epoch.0, "stopping a worker nobody wants");
            self.driver.stop(unit).await?;
        }
        let mut next = RESYNC;
        for sandbox in self.wanted.clone() {
            if !running.iter().any(|unit| unit.sandbox == sandbox) {
                next = next.min(self.bring_up(sandbox, now).await?);
            }
        }
        Ok(next)
    }

    /// Units of unwanted sandboxes, and all but the newest incarnation of wanted ones.
    fn superfluous<'a>(&self, running: &'a [Unit]) -> Vec<&'a Unit> {
        let newest =
            |sandbox: &SandboxId| running.iter().filter(|u| u.sandbox == *sandbox).map(|u| u.epoch).max();
        let keep =
            |unit: &Unit| self.wanted.contains(&unit.sandbox) && newest(&unit.sandbox) == Some(unit.epoch);
        running.iter().filter(|unit| !keep(unit)).collect()
    }

    async fn bring_up(&mut self, sandbox: SandboxId, now: Instant) -> Result<Duration> {
        let backoff = self.backoffs.entry(sandbox.clone()).or_default();
        if backoff.is_started() {
            tracing::warn!(sandbox.id = %sandbox, "the worker has ended by itself");
            backoff.failed(now);
        }
        let wait = backoff.wait(now);
        if wait > Duration::ZERO {
            return Ok(wait);
        }
        let unit = Unit { epoch: next_epoch(self.kv.as_ref(), &sandbox).await?, sandbox };
        match self.driver.start(&unit).await {
            Ok(()) => {
                backoff.started(now);
                Ok(RESYNC)
            }
            Err(error) => {
                tracing::error!(sandbox.id = %unit.sandbox, epoch = unit.epoch.0, %error, "the worker cannot be started");
                backoff.failed(now);
                Ok(backoff.wait(now))
            }
        }
    }
}
