//! Takes one step for one sandbox. Every step may be repeated, and none overwrites what somebody else wrote
//! since the view was read.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ports::mutants::{self, Mutant};
use ports::rpc::{Address, call};
use ports::{Bucket, Bus, Error, Expect, Kv, Result};
use telemetry::metrics::Placement;
use types::Epoch;
use types::buckets::{ALLOCATIONS, LEASES, SANDBOXES};
use types::calls::RestCall;
use types::placement::{Allocation, Failure, FailureReason, Want, Wanted, told_to_clients};
use types::time::{millis, utc_of_unix};

use crate::credentials::{self, Minter};
use crate::decide::{DRIVER_RETRY, NO_DRIVER, STOPPING, Step, is_told};
use crate::memory::Memory;
use crate::moment::Moment;
use crate::records;
use crate::trouble::Trouble;
use crate::view::View;
use crate::{Driver, Instance, Launch, StartError};

/// What a worker that is to be paused gets to say whether it may be.
const RESTING: Duration = Duration::from_secs(3);

pub struct Actor {
    pub kv: Arc<dyn Kv>,
    pub bus: Arc<dyn Bus>,
    pub driver: Arc<dyn Driver>,
    pub minter: Arc<dyn Minter>,
    pub cluster: String,
    /// Whether too many failures end the tries until the sandbox is woken.
    pub gives_up: bool,
    pub metrics: Placement,
}

/// Why there is no worker, before it is known when the next try is due.
struct Setback {
    reason: FailureReason,
    message: String,
    log: String,
}

impl Setback {
    fn of(error: StartError, log: String) -> Self {
        let (reason, message) = match error {
            StartError::ImageMissing(image) => {
                (FailureReason::ImageMissing, format!("The image {image} is not there."))
            }
            StartError::Unavailable(why) => {
                tracing::warn!(why, "a start was not answered");
                (FailureReason::DriverUnavailable, NO_DRIVER.to_owned())
            }
            StartError::Failed(message) => (FailureReason::StartFailed, message),
            StartError::Refused(cause) => (cause.reason, cause.message),
        };
        Self { reason, message, log }
    }
}

impl Actor {
    /// # Errors
    /// `Conflict` when the picture has changed; `Unavailable` when a store or the driver does not answer.
    pub async fn take(&self, step: Step, view: &View, memory: &mut Memory, now: Moment) -> Result<()> {
        match step {
            Step::Wait(_) => Ok(()),
            Step::Start(epoch) => self.start(epoch, view, memory, now).await,
            Step::Tell(instance) => self.tell(&instance, view, memory, now).await,
            Step::Adopt(instance) => self.adopt(instance, view).await,
            Step::Stop { instances, release } => self.stop(instances, release, view, now).await,
            Step::Fail(trouble) => self.fail(trouble, view, memory, now).await,
            Step::Refuse(reason, message) => self.refuse(reason, &message, view, now).await,
            Step::Grant => self.grant(view).await,
            Step::TurnOut(message) => self.turn_out(message, view, now).await,
            Step::Pause => self.pause(view).await,
            Step::Erase => self.erase(view).await,
            Step::Renew(instance) => self.renew(&instance, memory, now).await,
        }
    }

    /// The epoch is taken before anything starts: who loses that write starts nothing.
    async fn start(&self, epoch: Epoch, view: &View, memory: &mut Memory, now: Moment) -> Result<()> {
        let instance = Instance { sandbox: view.sandbox.clone(), epoch };
        let before = &view.allocation.value;
        if before.failure.as_ref().is_some_and(|failure| failure.is_final) {
            memory.failures.forget();
        }
        // What was wrong with an earlier one says nothing of this one.
        let instance_name = instance.name(&self.cluster);
        let allocation = Allocation { epoch, instance: instance_name, failure: None, ..before.clone() };
        if view.is_claimed() {
            // It was given room for this start. Asked again once it runs, others might have got that meanwhile.
            self.grant(view).await?;
        }
        let revision = self.allocate(view, &allocation, view.allocation.expect).await?;
        memory.course.begin(epoch, now.instant);
        match self.launch(&instance).await {
            Ok(()) => {
                tracing::info!(sandbox.id = %instance.sandbox, epoch = epoch.0, "worker started");
                memory.minted(epoch, now.instant);
                memory.seen = Some(epoch);
                Ok(())
            }
            Err(error) => {
                let setback = self.clear_up(&instance, error).await;
                self.record(setback, allocation, Expect::Revision(revision), view, memory, now).await
            }
        }
    }

    /// Starts once more what waits for it. While it cannot be reached it goes on waiting, and so it does while others than itself
    /// are the reason: in its place there would only be another one that waits.
    async fn tell(&self, instance: &Instance, view: &View, memory: &mut Memory, now: Moment) -> Result<()> {
        match self.launch(instance).await {
            Ok(()) => {
                memory.minted(instance.epoch, now.instant);
                Ok(())
            }
            Err(StartError::Unavailable(why)) => Err(Error::Unavailable(why)),
            Err(StartError::Refused(cause)) if !cause.reason.is_its_own() => {
                match is_told(view, cause.reason, &cause.message) {
                    true => Ok(()),
                    false => self.refuse(cause.reason, &cause.message, view, now).await,
                }
            }
            Err(error) => {
                let setback = self.clear_up(instance, error).await;
                let allocation = view.allocation.value.clone();
                self.record(setback, allocation, view.allocation.expect, view, memory, now).await
            }
        }
    }

    /// Something of it may be there: what cannot be removed now is found by the next look.
    async fn clear_up(&self, instance: &Instance, error: StartError) -> Setback {
        let setback = Setback::of(error, self.driver.log(instance).await);
        let _ = self.driver.stop(instance, Duration::ZERO).await;
        setback
    }

    async fn launch(&self, instance: &Instance) -> std::result::Result<(), StartError> {
        let credentials = self.minter.mint(&instance.sandbox, instance.epoch).map_err(|error| {
            tracing::error!(sandbox.id = %instance.sandbox, %error, "credentials cannot be minted");
            StartError::Failed("The worker's credentials could not be made.".to_owned())
        })?;
        self.driver.start(&Launch { instance: instance.clone(), credentials }).await
    }

    async fn adopt(&self, instance: Instance, view: &View) -> Result<()> {
        let allocation = Allocation {
            epoch: instance.epoch,
            instance: instance.name(&self.cluster),
            failure: None,
            ..view.allocation.value.clone()
        };
        self.allocate(view, &allocation, view.allocation.expect).await?;
        Ok(())
    }

    async fn stop(&self, instances: Vec<Instance>, release: bool, view: &View, now: Moment) -> Result<()> {
        let may_be_used = release && !mutants::is(Mutant::PauseIgnoresCalls);
        if may_be_used && self.has_begun_something(&instances, view).await {
            tracing::info!(sandbox.id = %view.sandbox, "a sandbox that was to be paused is used again");
            return self.resume(view, now).await;
        }
        for instance in instances {
            tracing::info!(sandbox.id = %instance.sandbox, epoch = instance.epoch.0, "stopping a worker nobody wants");
            self.end(&instance, STOPPING, view).await?;
        }
        if release {
            let allocation = Allocation {
                instance: String::new(),
                failures: 0,
                failure: None,
                ..view.allocation.value.clone()
            };
            self.allocate(view, &allocation, view.allocation.expect).await?;
        }
        Ok(())
    }

    async fn fail(&self, trouble: Trouble, view: &View, memory: &mut Memory, now: Moment) -> Result<()> {
        let log = match trouble.instance() {
            Some(instance) => {
                let log = self.driver.log(instance).await;
                self.end(instance, Duration::ZERO, view).await?;
                log
            }
            None => String::new(),
        };
        let setback = Setback { reason: trouble.reason(), message: trouble.to_string(), log };
        // What was found may be newer than what is arranged, where that comes from a backup.
        let epoch = view.epoch().max(view.allocation.value.epoch);
        let allocation = Allocation { epoch, ..view.allocation.value.clone() };
        self.record(setback, allocation, view.allocation.expect, view, memory, now).await
    }

    /// Notes a failed incarnation and when the next may be tried.
    async fn record(
        &self,
        setback: Setback,
        allocation: Allocation,
        expect: Expect,
        view: &View,
        memory: &mut Memory,
        now: Moment,
    ) -> Result<()> {
        let Setback { reason, mut message, log } = setback;
        if let Some(told) = told_to_clients(&log) {
            message = format!("{message} {told}");
        }
        let verdict = match reason {
            FailureReason::DriverUnavailable => memory.failures.excuse(DRIVER_RETRY),
            _ if memory.is_excused => memory.failures.excuse(DRIVER_RETRY),
            _ if !reason.is_its_own() => {
                memory.failures.excuse(memory.setbacks.note(allocation.epoch, now.instant).wait)
            }
            _ => memory.failures.note(allocation.epoch, now.instant),
        };
        memory.retry_after(verdict.wait, now.instant);
        memory.course.fail(now.instant, &self.metrics);
        tracing::warn!(sandbox.id = %view.sandbox, epoch = allocation.epoch.0, ?reason, message, "no worker");
        // Nobody wakes what waits in the pool.
        let is_final = self.gives_up && verdict.is_enough && view.tenant().is_some();
        let retry_at = now.unix_ms + millis(verdict.wait);
        let answers = memory.answered(allocation.epoch, view);
        let failure =
            Failure { reason, message, log, at: utc_of_unix(now.unix_ms), retry_at, is_final, answers };
        let allocation = Allocation {
            instance: String::new(),
            failures: verdict.count,
            failure: Some(failure),
            ..allocation
        };
        self.allocate(view, &allocation, expect).await?;
        Ok(())
    }

    async fn refuse(&self, reason: FailureReason, message: &str, view: &View, now: Moment) -> Result<()> {
        let failure = Some(refusal(reason, message, view, now));
        let allocation = Allocation { failure, ..view.allocation.value.clone() };
        self.allocate(view, &allocation, view.allocation.expect).await?;
        Ok(())
    }

    /// Whatever else is written there meanwhile, and however often: others wake it and make conversations in it.
    async fn grant(&self, view: &View) -> Result<()> {
        let wanted = Bucket::<Wanted>::new(self.kv.as_ref(), SANDBOXES);
        let granting = wanted.change(view.sandbox.as_str(), |wanted| match wanted {
            Some(wanted) if wanted.want != Want::Deleted => std::mem::take(&mut wanted.is_claimed),
            _ => false,
        });
        match granting.await? {
            Some(wanted) if wanted.value.want != Want::Deleted => Ok(()),
            _ => Err(Error::Conflict { tail: None }),
        }
    }

    /// Nobody has used it: from the end on it is as if it had been refused its start.
    async fn turn_out(&self, message: &str, view: &View, now: Moment) -> Result<()> {
        for found in view.instances.iter().flatten() {
            self.end(&found.instance, STOPPING, view).await?;
        }
        let failure = Some(refusal(FailureReason::NoRoom, message, view, now));
        let allocation = Allocation { instance: String::new(), failure, ..view.allocation.value.clone() };
        self.allocate(view, &allocation, view.allocation.expect).await?;
        self.grant(view).await
    }

    /// Loses against a wake: the record must be the one the decision was made on.
    async fn pause(&self, view: &View) -> Result<()> {
        tracing::info!(sandbox.id = %view.sandbox, "pausing a sandbox nobody uses");
        let quiet_after = view.own_lease().map(|lease| lease.value.calls);
        self.rewrite(view, |wanted| Wanted { want: Want::Paused, quiet_after, ..wanted }).await
    }

    /// Whether the worker that is to be paused has been called for something that whoever decided it did not know of. From
    /// then on that it says no it takes no more calls.
    async fn has_begun_something(&self, instances: &[Instance], view: &View) -> bool {
        let quiet_after = view.wanted.as_ref().and_then(|wanted| wanted.value.quiet_after);
        let newest = instances.iter().max_by_key(|instance| instance.epoch);
        let (Some(calls), Some(instance)) = (quiet_after, newest) else { return false };
        let address = Address::of_worker(&instance.sandbox, Some(instance.epoch));
        let rest = RestCall { calls };
        let asked = call::<_, bool>(self.bus.as_ref(), &address, &rest, Bytes::new(), RESTING);
        // One that does not answer has no use for its time.
        asked.await.is_ok_and(|(rests, _)| !rests)
    }

    /// Takes a pause back, as if the sandbox had been woken.
    async fn resume(&self, view: &View, now: Moment) -> Result<()> {
        let touched_at = now.unix_ms;
        self.rewrite(view, |wanted| Wanted { want: Want::Running, quiet_after: None, touched_at, ..wanted })
            .await
    }

    /// Records go last: as long as there is one, the rest is removed again.
    async fn erase(&self, view: &View) -> Result<()> {
        for found in view.instances.iter().flatten() {
            self.end(&found.instance, Duration::ZERO, view).await?;
        }
        self.driver.remove_files(&view.sandbox).await?;
        self.kv.delete(ALLOCATIONS, view.sandbox.as_str(), Expect::Anything).await?;
        let Some(wanted) = &view.wanted else { return Ok(()) };
        tracing::info!(sandbox.id = %view.sandbox, "sandbox removed");
        self.kv.delete(SANDBOXES, view.sandbox.as_str(), wanted.expect).await
    }

    async fn renew(&self, instance: &Instance, memory: &mut Memory, now: Moment) -> Result<()> {
        match credentials::renew(self.bus.as_ref(), self.minter.as_ref(), instance).await? {
            true => memory.minted(instance.epoch, now.instant),
            false => memory.not_renewed(instance.epoch, now.instant),
        }
        Ok(())
    }

    pub async fn want(&self, want: Want, view: &View) -> Result<()> {
        self.rewrite(view, |wanted| Wanted { want, ..wanted }).await
    }

    async fn rewrite(&self, view: &View, change: impl FnOnce(Wanted) -> Wanted) -> Result<()> {
        let Some(record) = &view.wanted else { return Ok(()) };
        let wanted = change(record.value.clone());
        records::put(self.kv.as_ref(), SANDBOXES, &view.sandbox, &wanted, record.expect).await?;
        Ok(())
    }

    /// Ends an instance, and its lease at once: nobody waits for a worker that is known to be gone.
    async fn end(&self, instance: &Instance, grace: Duration, view: &View) -> Result<()> {
        self.driver.stop(instance, grace).await?;
        let Some(entry) = self.kv.get(LEASES, view.sandbox.as_str()).await? else { return Ok(()) };
        let lease: Option<types::placement::Lease> = serde_json::from_slice(&entry.value).ok();
        if lease.is_some_and(|lease| lease.epoch > instance.epoch) {
            return Ok(());
        }
        match self.kv.delete(LEASES, view.sandbox.as_str(), Expect::Revision(entry.revision)).await {
            Err(Error::Conflict { .. }) => Ok(()),
            other => other,
        }
    }

    async fn allocate(&self, view: &View, allocation: &Allocation, expect: Expect) -> Result<u64> {
        records::put(self.kv.as_ref(), ALLOCATIONS, &view.sandbox, allocation, expect).await
    }
}

fn refusal(reason: FailureReason, message: &str, view: &View, now: Moment) -> Failure {
    Failure {
        reason,
        message: message.to_owned(),
        log: String::new(),
        at: utc_of_unix(now.unix_ms),
        retry_at: now.unix_ms,
        is_final: false,
        answers: view.wakes(),
    }
}
