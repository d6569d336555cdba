//! Why something is not done to a log of commands.

use ports::Error;
use ports::rpc::{Fault, Reason};

#[derive(Clone, Debug, thiserror::Error)]
pub enum Refusal {
    #[error("another worker has taken this sandbox over")]
    Superseded,
    #[error("the worker is stopping")]
    Stopping,
    #[error(transparent)]
    Log(#[from] Error),
}

pub type Result<T> = std::result::Result<T, Refusal>;

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Superseded => Reason::Superseded.into(),
            Refusal::Stopping => Reason::ShuttingDown.into(),
            Refusal::Log(error) => error.into(),
        }
    }
}
