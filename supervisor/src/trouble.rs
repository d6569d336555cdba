//! What can be wrong with an incarnation that was started.

use types::placement::FailureReason;

use crate::Instance;
use crate::pulse::STARTING;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    #[error("The worker ended{}.", with(*code))]
    Exited { instance: Instance, code: Option<i64> },
    #[error("The worker is gone.")]
    Vanished,
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
            Self::Exited { instance, .. } | Self::Late(instance) | Self::Lost(instance) => Some(instance),
            Self::Vanished => None,
        }
    }

    pub fn reason(&self) -> FailureReason {
        match self {
            Self::Late(_) => FailureReason::StartFailed,
            Self::Exited { .. } | Self::Vanished | Self::Lost(_) => FailureReason::Exited,
        }
    }
}

fn with(code: Option<i64>) -> String {
    code.map_or_else(|| " by itself".to_owned(), |code| format!(" with exit code {code}"))
}
