//! What can be wrong with an incarnation that was started.

use types::placement::FailureReason;

use crate::pulse::STARTING;
use crate::{Cause, Instance};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    #[error("The worker ended{}.", with(*code))]
    Exited { instance: Instance, code: Option<i64> },
    /// With the last that was known of it, if that tells why.
    #[error("{}", .0.as_ref().map_or("The worker is gone.", |cause| cause.message.as_str()))]
    Vanished(Option<Cause>),
    /// It ended, or waited too long, for a reason that is known.
    #[error("{}", cause.message)]
    Known { instance: Instance, cause: Cause },
    /// It runs, and never took its lease.
    #[error("The worker did not report within {} seconds.", STARTING.as_secs())]
    Late(Instance),
    /// It runs, and does not renew its lease.
    #[error("The worker does not answer any more.")]
    Lost(Instance),
}

impl Trouble {
    /// What is left of it.
    pub fn instance(&self) -> Option<&Instance> {
        match self {
            Self::Exited { instance, .. }
            | Self::Known { instance, .. }
            | Self::Late(instance)
            | Self::Lost(instance) => Some(instance),
            Self::Vanished(_) => None,
        }
    }

    pub fn reason(&self) -> FailureReason {
        match self {
            Self::Late(_) => FailureReason::StartFailed,
            Self::Known { cause, .. } | Self::Vanished(Some(cause)) => cause.reason,
            Self::Exited { .. } | Self::Vanished(None) | Self::Lost(_) => FailureReason::Exited,
        }
    }
}

fn with(code: Option<i64>) -> String {
    code.map_or_else(|| " by itself".to_owned(), |code| format!(" with exit code {code}"))
}
