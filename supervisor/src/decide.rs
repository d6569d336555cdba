//! The next step for one sandbox: a pure function of what is known about it.

use std::borrow::Cow;
use std::time::Duration;

use types::Epoch;
use types::placement::{Failure, FailureReason, Want, Wanted};

use crate::RESYNC;
use crate::pulse::Sign;
use crate::trouble::Trouble;
use crate::view::View;
use crate::{Cause, Instance, InstanceState};

/// How soon an unanswering driver is asked again, and how soon it is looked whether an instance that is leaving is gone.
pub const DRIVER_RETRY: Duration = Duration::from_secs(2);

/// For clients.
pub const NO_DRIVER: &str = "The container service does not answer.";

/// The same.
const LEAVING: &str = "The container service has not removed the last worker yet.";
/// Who waits for a sandbox whose last instance takes longer than this to be gone is told so.
const LEAVING_LONG: Duration = Duration::from_secs(60);

const NOT_MADE: &str = "The sandbox could not be made ready in time.";
const UNTOLD: &str = "The worker could not be told what it is to do.";

/// What a worker that is asked to end gets to do so.
pub const STOPPING: Duration = Duration::from_secs(10);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing, until something changes or this time has passed.
    Wait(Duration),
    /// Start the next incarnation.
    Start(Epoch),
    /// Tell the worker of an instance that runs what it is to do.
    Tell(Instance),
    /// Take what runs for the current incarnation, and forget why there was none.
    Adopt(Instance),
    /// End instances nobody wants; `release`: the sandbox has none from now on.
    Stop { instances: Vec<Instance>, release: bool },
    /// Give the current incarnation up.
    Fail(Trouble),
    /// Note why there is no instance, or what the one that is there waits for; which is not its fault.
    Refuse(FailureReason, Cow<'static, str>),
    /// Let its tenant use what was taken from the warm pool.
    Grant,
    /// End what was taken from the warm pool: there is no room for it.
    TurnOut(&'static str),
    /// Nobody has used it for long: want it paused.
    Pause,
    /// Remove instance, files and records.
    Erase,
    /// Send the worker new credentials.
    Renew(Instance),
}

/// What else bears on the decision.
pub struct Circumstances {
    pub sign: Sign,
    /// Whether this supervisor saw the current incarnation alive. What ended with an earlier one, or was never
    /// started by it, has not failed.
    pub was_seen: bool,
    /// How long there has been no record.
    pub unwanted_for: Duration,
    /// How long what is wanted of it has stood as it is: each wake changes that.
    pub untouched_for: Duration,
    /// The last that was known of the current incarnation, if that tells why it is gone.
    pub omen: Option<Cause>,
    /// What an instance that waits for what it runs on may still do so, before another is tried.
    pub patience: Duration,
    /// How long the newest instance has been going.
    pub leaving_for: Duration,
    /// Until it may be tried again after a failure.
    pub retry_in: Duration,
    /// Without use for so long, it is paused.
    pub idle_limit: Option<Duration>,
    pub renewal_is_due: bool,
}

/// What is found without a record is left alone so long: its record may be under way.
const UNWANTED: Duration = Duration::from_secs(60);

pub fn decide(view: &View, circumstances: &Circumstances) -> Step {
    let Some(instances) = &view.instances else { return without_driver(view, circumstances.sign) };
    let all = || instances.iter().map(|found| found.instance.clone()).collect();
    let Some(wanted) = &view.wanted else {
        let left = UNWANTED.saturating_sub(circumstances.unwanted_for);
        return match (instances.is_empty(), left.is_zero()) {
            (true, _) => Step::Wait(RESYNC),
            (false, true) => Step::Stop { instances: all(), release: false },
            (false, false) => Step::Wait(left),
        };
    };
    match wanted.value.want {
        Want::Deleted => Step::Erase,
        Want::Paused if instances.is_empty() && view.allocation.value.instance.is_empty() => {
            Step::Wait(RESYNC)
        }
        Want::Paused => Step::Stop { instances: all(), release: true },
        Want::Running => keep_running(view, &wanted.value, circumstances),
    }
}

fn without_driver(view: &View, sign: Sign) -> Step {
    let concerned = view.wants_running() && !matches!(sign, Sign::Leased(_)) && !is_given_up(view);
    if concerned && !is_known(view, FailureReason::DriverUnavailable) {
        return Step::Refuse(FailureReason::DriverUnavailable, NO_DRIVER.into());
    }
    Step::Wait(DRIVER_RETRY)
}

/// Until somebody wakes it.
fn is_given_up(view: &View) -> bool {
    let failure = view.allocation.value.failure.as_ref();
    failure.is_some_and(|failure| failure.is_final && is_known(view, failure.reason))
}

/// Whether the newest wake has been told this already.
pub fn is_known(view: &View, reason: FailureReason) -> bool {
    let failure = view.allocation.value.failure.as_ref();
    failure.is_some_and(|failure| failure.reason == reason && !is_woken_since(view, failure))
}

/// The same, in these words.
pub fn is_told(view: &View, reason: FailureReason, message: &str) -> bool {
    let told = view.allocation.value.failure.as_ref();
    is_known(view, reason) && told.is_some_and(|told| told.message == message)
}

fn is_woken_since(view: &View, failure: &Failure) -> bool {
    view.wanted.as_ref().is_some_and(|wanted| wanted.value.wakes != failure.answers)
}

fn keep_running(view: &View, wanted: &Wanted, circumstances: &Circumstances) -> Step {
    let Some(newest) = view.newest_instance() else { return bring_up(view, circumstances) };
    let instance = newest.instance.clone();
    let current = instance.epoch.max(view.allocation.value.epoch);
    let instances = view.instances.iter().flatten().map(|found| &found.instance);
    let older: Vec<Instance> = instances.filter(|instance| instance.epoch < current).cloned().collect();
    if !older.is_empty() {
        return Step::Stop { instances: older, release: false };
    }
    match (&newest.state, circumstances.sign) {
        (InstanceState::Leaving, _)
            if circumstances.leaving_for >= LEAVING_LONG
                && !is_known(view, FailureReason::DriverUnavailable) =>
        {
            Step::Refuse(FailureReason::DriverUnavailable, LEAVING.into())
        }
        (InstanceState::Leaving, _) => Step::Wait(DRIVER_RETRY),
        (InstanceState::Exited { code }, _) => Step::Fail(Trouble::Exited { instance, code: *code }),
        (InstanceState::Broken(cause), _) => Step::Fail(Trouble::Known { instance, cause: cause.clone() }),
        (InstanceState::Pending(cause), _) => bear_with(view, instance, cause.as_ref(), circumstances),
        (InstanceState::Untold | InstanceState::Running | InstanceState::Doomed(_), Sign::Leased(left)) => {
            tend(view, wanted, instance, left, circumstances)
        }
        (InstanceState::Untold, Sign::Awaited(_)) if circumstances.patience.is_zero() => {
            let cause = Cause::new(FailureReason::StartFailed, UNTOLD);
            Step::Fail(Trouble::Known { instance, cause })
        }
        (InstanceState::Untold, Sign::Awaited(_)) => Step::Tell(instance),
        (InstanceState::Doomed(cause), Sign::Late | Sign::Lost) => {
            Step::Fail(Trouble::Known { instance, cause: cause.clone() })
        }
        (InstanceState::Untold | InstanceState::Running, Sign::Late) => Step::Fail(Trouble::Late(instance)),
        (InstanceState::Untold | InstanceState::Running, Sign::Lost) => Step::Fail(Trouble::Lost(instance)),
        (InstanceState::Running | InstanceState::Doomed(_), Sign::Awaited(left)) => Step::Wait(left),
    }
}

/// With one that waits for what it runs on. Those who wait for it are told why; once that is over they are not.
fn bear_with(view: &View, instance: Instance, cause: Option<&Cause>, circumstances: &Circumstances) -> Step {
    let told = view.allocation.value.failure.as_ref();
    match cause {
        Some(cause) if circumstances.patience.is_zero() => {
            Step::Fail(Trouble::Known { instance, cause: cause.clone() })
        }
        None if circumstances.patience.is_zero() => {
            let cause = Cause::new(FailureReason::StartFailed, NOT_MADE);
            Step::Fail(Trouble::Known { instance, cause })
        }
        Some(cause) if !is_told(view, cause.reason, &cause.message) => {
            Step::Refuse(cause.reason, cause.message.clone().into())
        }
        None if told.is_some() => Step::Adopt(instance),
        _ => Step::Wait(circumstances.patience.min(RESYNC)),
    }
}

fn bring_up(view: &View, circumstances: &Circumstances) -> Step {
    let allocation = &view.allocation.value;
    if !allocation.instance.is_empty() && circumstances.was_seen {
        return Step::Fail(Trouble::Vanished(circumstances.omen.clone()));
    }
    if is_given_up(view) {
        return Step::Wait(RESYNC);
    }
    if !circumstances.retry_in.is_zero() {
        return Step::Wait(circumstances.retry_in);
    }
    view.next_epoch().map_or(Step::Wait(RESYNC), Step::Start)
}

fn tend(
    view: &View,
    wanted: &Wanted,
    instance: Instance,
    left: Duration,
    circumstances: &Circumstances,
) -> Step {
    let allocation = &view.allocation.value;
    if allocation.epoch != instance.epoch || allocation.instance.is_empty() || allocation.failure.is_some() {
        return Step::Adopt(instance);
    }
    let until_pause = until_pause(view, wanted, circumstances);
    if until_pause.is_zero() {
        return Step::Pause;
    }
    if circumstances.renewal_is_due {
        return Step::Renew(instance);
    }
    Step::Wait(left.min(until_pause))
}

/// By what the worker reports, and not sooner after a wake that the report may not know of.
fn until_pause(view: &View, wanted: &Wanted, circumstances: &Circumstances) -> Duration {
    let (Some(limit), Some(_), Some(lease)) = (circumstances.idle_limit, &wanted.tenant, view.own_lease())
    else {
        return RESYNC;
    };
    let idle = Duration::from_secs(lease.value.idle_seconds);
    limit.saturating_sub(idle.min(circumstances.untouched_for))
}
