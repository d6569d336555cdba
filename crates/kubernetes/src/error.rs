//! What an API server refuses, and that it does not answer.

use std::time::Duration;

use kube::core::Status;

/// What a caller can do about a failed call. The words are the server's: they name what is in the cluster, and are for its
/// operators.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    NotFound(String),
    /// One of that name is there already.
    #[error("{0}")]
    AlreadyExists(String),
    /// It has changed meanwhile, or is another's.
    #[error("{0}")]
    Conflict(String),
    /// What a watch or the next page of a list goes by is too long ago: list anew.
    #[error("{0}")]
    Expired(String),
    /// By a right that is missing, a quota, a policy or a webhook.
    #[error("{0}")]
    Forbidden(String),
    /// The object cannot be so.
    #[error("{0}")]
    Invalid(String),
    /// No answer, or one to try again later. The call may or may not have taken effect.
    #[error("{0}")]
    Unavailable(String),
    /// A person must look.
    #[error("{0}")]
    Other(String),
}

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn late(patience: Duration) -> Self {
        Self::Unavailable(format!("no answer within {} seconds", patience.as_secs()))
    }
}

/// The two meanings of 409 differ by their reason alone.
impl From<Status> for Error {
    fn from(status: Status) -> Self {
        let told = status.message;
        match (status.reason.as_str(), status.code) {
            ("AlreadyExists", _) => Self::AlreadyExists(told),
            ("Expired" | "Gone", _) | (_, 410) => Self::Expired(told),
            ("Conflict", _) | (_, 409) => Self::Conflict(told),
            ("NotFound", _) | (_, 404) => Self::NotFound(told),
            ("Invalid" | "BadRequest", _) | (_, 400 | 413 | 415 | 422) => Self::Invalid(told),
            ("Forbidden" | "Unauthorized", _) | (_, 401 | 403) => Self::Forbidden(told),
            (_, 429 | 500..) => Self::Unavailable(told),
            _ => Self::Other(told),
        }
    }
}

impl From<kube::Error> for Error {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => (*status).into(),
            kube::Error::Service(_)
            | kube::Error::HyperError(_)
            | kube::Error::ReadEvents(_)
            | kube::Error::UpgradeConnection(_)
            | kube::Error::Auth(_) => Self::Unavailable(with_causes(&error)),
            _ => Self::Other(with_causes(&error)),
        }
    }
}

impl From<Error> for ports::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::NotFound(_) => Self::NotFound,
            Error::AlreadyExists(_) | Error::Conflict(_) | Error::Expired(_) => Self::Conflict { tail: None },
            // Rights and quotas are given without a word to those who lack them.
            Error::Unavailable(told) | Error::Forbidden(told) => Self::Unavailable(told),
            Error::Invalid(told) | Error::Other(told) => Self::Internal(told),
        }
    }
}

/// A connection that fails says only by its causes how.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !told.contains(&more) {
            told = format!("{told}: {more}");
        }
        cause = error.source();
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: u16, reason: &str) -> Error {
        Status::failure("told", reason).with_code(code).into()
    }

    #[test]
    fn who_loses_a_race_is_told_which() {
        let told = || "told".to_owned();
        assert_eq!(status(409, "AlreadyExists"), Error::AlreadyExists(told()));
        assert_eq!(status(409, "Conflict"), Error::Conflict(told()));
        assert_eq!(status(410, "Expired"), Error::Expired(told()));
    }

    #[test]
    fn what_can_pass_is_unavailable_and_what_a_proxy_says_too() {
        for (code, reason) in [
            (429, "TooManyRequests"),
            (500, "InternalError"),
            (502, "Failed to parse error data"),
            (503, "ServiceUnavailable"),
            (504, "Timeout"),
        ] {
            assert_eq!(status(code, reason), Error::Unavailable("told".to_owned()), "{code} {reason}");
        }
    }

    #[test]
    fn what_is_refused_is_not_asked_again_at_once() {
        assert_eq!(status(403, "Forbidden"), Error::Forbidden("told".to_owned()));
        assert_eq!(status(401, "Unauthorized"), Error::Forbidden("told".to_owned()));
        assert_eq!(status(422, "Invalid"), Error::Invalid("told".to_owned()));
        assert_eq!(ports::Error::from(status(422, "Invalid")), ports::Error::Internal("told".to_owned()));
    }
}
