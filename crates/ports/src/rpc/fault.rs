//! Why a call was not done, in three layers: what a caller can do about it (`code`), what it was (`reason`, or `public`
//! where whoever refused has said it), and what only the log is for (`cause`).
//!
//! A reason is a closed set, so that no two parts say the same in words of their own: the gateway alone has the words.
//! `public` holds what is wrong with what was asked, in the terms of who asked. Texts of stores, buses, operating systems
//! and libraries are causes; they cross the bus for the log of whoever answers the client, and end there.

use std::fmt;

use serde::{Deserialize, Serialize};
use types::Seq;

use crate::Error;

/// What a caller can do; each code has one HTTP status.
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
    /// Another server, which was asked for it, has failed.
    Upstream,
    /// Another server, which was asked for it, has not answered in time.
    UpstreamSlow,
    Internal,
}

/// What it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It is not there.
    Missing,
    /// Somebody else has changed it meanwhile; `tail` is where a log really ends.
    Changed { tail: Option<Seq> },
    /// A run is active.
    AlreadyRunning,
    /// All run slots are taken, and nothing was done.
    RunLimit,
    /// All run slots are taken, but the message is stored.
    MessageSaved,
    /// More is asked at once than is answered.
    Overloaded,
    /// Nobody answers there.
    Unreachable,
    /// Whoever would do it is about to end.
    ShuttingDown,
    /// Another incarnation has taken over.
    Superseded,
    /// What it would be done in was removed.
    SandboxDeleted,
    /// What it would be done in does not run yet.
    SandboxStarting,
    /// Whoever was doing it has ended: it may have been done in part or as a whole.
    WorkerLost,
    /// The two sides are of different releases.
    OtherRelease,
    /// There was no answer in time; it may have been done.
    TooSlow,
    /// It came when nobody waited for it any more, and was not begun.
    TooLate,
    /// What it rests upon (a store, the bus) does not work now; it may have been done.
    Unavailable,
    /// What was asked is more than can be sent.
    CallTooLarge,
    /// The answer is more than can be sent.
    AnswerTooLarge,
    /// A defect, or a damaged store.
    Defect,
}

impl Reason {
    #[must_use]
    pub fn code(self) -> Code {
        match self {
            Self::Missing | Self::SandboxDeleted => Code::NotFound,
            Self::Changed { .. } | Self::AlreadyRunning => Code::Conflict,
            Self::RunLimit | Self::MessageSaved | Self::Overloaded => Code::Busy,
            Self::Unreachable | Self::SandboxStarting => Code::Absent,
            Self::ShuttingDown
            | Self::Superseded
            | Self::WorkerLost
            | Self::OtherRelease
            | Self::TooSlow
            | Self::TooLate
            | Self::Unavailable => Code::Unavailable,
            Self::CallTooLarge | Self::AnswerTooLarge => Code::TooLarge,
            Self::Defect => Code::Internal,
        }
    }

    /// Whether it may have been done all the same, or may be in a moment.
    #[must_use]
    pub fn may_be_done(self) -> bool {
        match self {
            Self::WorkerLost | Self::TooSlow | Self::Unavailable | Self::AnswerTooLarge | Self::Defect => {
                true
            }
            Self::Missing
            | Self::Changed { .. }
            | Self::AlreadyRunning
            | Self::RunLimit
            | Self::MessageSaved
            | Self::Overloaded
            | Self::Unreachable
            | Self::ShuttingDown
            | Self::Superseded
            | Self::SandboxDeleted
            | Self::SandboxStarting
            | Self::OtherRelease
            | Self::TooLate
            | Self::CallTooLarge => false,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    pub code: Code,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// For the client, where no reason says it all.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub public: String,
    /// For the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
}

impl Fault {
    /// What is wrong with what was asked; `public` is for the client.
    #[must_use]
    pub fn new(code: Code, public: impl Into<String>) -> Self {
        Self { code, reason: None, public: public.into(), cause: None }
    }

    /// As [`Reason::may_be_done`]; where nobody has said a reason, a code that only a failure has.
    #[must_use]
    pub fn may_be_done(&self) -> bool {
        match self.reason {
            Some(reason) => reason.may_be_done(),
            None => matches!(self.code, Code::Unavailable | Code::Internal),
        }
    }

    /// With this text for the log.
    #[must_use]
    pub fn caused_by(self, cause: impl fmt::Display) -> Self {
        Self { cause: Some(cause.to_string()), ..self }
    }

    /// A defect, of which clients learn nothing.
    #[must_use]
    pub fn internal(cause: impl fmt::Display) -> Self {
        Self::from(Reason::Defect).caused_by(cause)
    }
}

impl From<Reason> for Fault {
    fn from(reason: Reason) -> Self {
        Self { code: reason.code(), reason: Some(reason), public: String::new(), cause: None }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        match error {
            Error::Conflict { tail } => Reason::Changed { tail }.into(),
            Error::NotFound => Reason::Missing.into(),
            Error::Unavailable(cause) => Self::from(Reason::Unavailable).caused_by(cause),
            Error::TooLarge(cause) => Self::from(Reason::CallTooLarge).caused_by(cause),
            Error::Full(public) => Self::new(Code::Full, public),
            Error::Internal(cause) => Self::internal(cause),
        }
    }
}

impl From<Fault> for Error {
    /// Of a store that is asked over the bus.
    fn from(fault: Fault) -> Self {
        let text = || fault.to_string();
        match (fault.code, fault.reason) {
            (Code::Conflict, Some(Reason::Changed { tail })) => Self::Conflict { tail },
            (Code::Conflict, _) => Self::Conflict { tail: None },
            (Code::NotFound, _) => Self::NotFound,
            (Code::Full, _) => Self::Full(fault.public),
            (Code::TooLarge, _) => Self::TooLarge(text()),
            (Code::Unavailable | Code::Absent | Code::Busy, _) => Self::Unavailable(text()),
            (
                Code::BadRequest
                | Code::Forbidden
                | Code::Invalid
                | Code::Upstream
                | Code::UpstreamSlow
                | Code::Internal,
                _,
            ) => Self::Internal(text()),
        }
    }
}

/// For logs.
impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason {
            Some(reason) => write!(formatter, "{reason:?}")?,
            None => write!(formatter, "{:?}: {}", self.code, self.public)?,
        }
        self.cause.iter().try_for_each(|cause| write!(formatter, " ({cause})"))
    }
}

impl std::error::Error for Fault {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_a_store_is_the_same_on_the_other_side_of_a_bus() {
        let there_and_back = |error: Error| {
            let json = serde_json::to_vec(&Fault::from(error)).unwrap();
            Error::from(serde_json::from_slice::<Fault>(&json).unwrap())
        };
        for error in [
            Error::Conflict { tail: None },
            Error::Conflict { tail: Some(Seq(4_096)) },
            Error::NotFound,
            Error::Full("No room is left.".to_owned()),
        ] {
            assert_eq!(there_and_back(error.clone()), error);
        }
        let cause = || "disk sda1".to_owned();
        assert!(
            matches!(there_and_back(Error::Unavailable(cause())), Error::Unavailable(why) if why.contains("sda1"))
        );
        assert!(
            matches!(there_and_back(Error::TooLarge(cause())), Error::TooLarge(why) if why.contains("sda1"))
        );
        assert!(
            matches!(there_and_back(Error::Internal(cause())), Error::Internal(why) if why.contains("sda1"))
        );
    }
}
