//! Why a call was not done.

use serde::{Deserialize, Serialize};

use crate::Error;

/// Why the other side did not do it; each code has one HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    BadRequest,
    Forbidden,
    NotFound,
    Conflict,
    Invalid,
    Busy,
    Unavailable,
    /// Nobody is there to take the call: it was not done, and may be repeated.
    Absent,
    /// There is no room for it until something is removed.
    Full,
    /// The call or its answer is larger than what can be sent.
    TooLarge,
    Internal,
}

/// The message is for the client, except under `Internal`, where it is for the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code:?}: {message}")]
pub struct Fault {
    pub code: Code,
    pub message: String,
}

impl Fault {
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    #[must_use]
    pub fn internal(error: impl std::fmt::Display) -> Self {
        Self::new(Code::Internal, error.to_string())
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        match error {
            Error::Conflict { .. } => Self::new(Code::Conflict, "changed by somebody else meanwhile"),
            Error::NotFound => Self::new(Code::NotFound, "Not Found"),
            Error::Unavailable(why) => Self::new(Code::Unavailable, why),
            Error::Full(why) => Self::new(Code::Full, why),
            Error::Internal(why) => Self::new(Code::Internal, why),
        }
    }
}
