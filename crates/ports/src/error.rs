//! What a caller can do about a failure.

use types::Seq;

/// What a caller can do about a failed operation; never a client library's type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The precondition does not hold; for a log, `tail` is where it really ends.
    #[error("conflict")]
    Conflict { tail: Option<Seq> },
    #[error("not found")]
    NotFound,
    /// Try again later. The operation may or may not have taken effect.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// No room is left for it, and will not be until something is removed: nothing was stored. The sentence is for
    /// whoever can do that.
    #[error("{0}")]
    Full(String),
    /// It is more than can be sent or stored at once, and was not.
    #[error("too large: {0}")]
    TooLarge(String),
    /// A defect or a damaged store: a person must look.
    #[error("internal: {0}")]
    Internal(String),
}

pub type Result<T> = std::result::Result<T, Error>;
