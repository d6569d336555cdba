//! What can be wrong with an incarnation that was started.

use ports::Unit;
use types::placement::FailureReason;

use crate::pulse::STARTING;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    #[error("The worker ended{}.", with(*code))]
    Exited { unit: Unit, code: Option<i64> },
    #[error("The worker is gone.")]
    Vanished,
    /// It runs, and never took its lease.
    #[error("The worker did not report within {} seconds.", STARTING.as_secs())]
    Late(Unit),
    /// It runs, and does not renew its lease.
    #[error("The worker does not answer any more.")]
    Lost(Unit),
}

impl Trouble {
    /// What is left of it.
    pub fn unit(&self) -> Option<&Unit> {
        match self {
            Self::Exited { unit, .. } | Self::Late(unit) | Self::Lost(unit) => Some(unit),
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
