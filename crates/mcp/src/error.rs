//! Why a server does not work, in words for its user. None of them holds a URL or a header.

use std::time::Duration;

use jsonrpc::Broken;
use outbound::Refused;
use types::mcp::{McpFailure, McpFailureKind};

use crate::challenge::Challenge;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("The server closed the connection.")]
    Ended,
    #[error("The server does not speak the Model Context Protocol.")]
    Strange,
    #[error("The server sent more than is taken.")]
    TooLarge,
    #[error("The server did not list its tools within {:?} seconds.", .0.as_secs_f64())]
    TooSlow(Duration),
    /// With the server's own words.
    #[error("The server refused: {0}")]
    Refused(String),
    #[error("The server cannot be reached.")]
    Unreachable,
    #[error("The URL of the server {0}.")]
    NotCalled(#[from] Refused),
    #[error("The URL or a header of the server is not valid.")]
    Invalid,
    #[error("The server answered HTTP {0}.")]
    Status(u16),
    #[error("The server asks for an authorization.")]
    Unauthorized(Challenge),
    /// What it does, in the third person.
    #[error("The provider of the login {0}.")]
    Login(String),
    /// The same, where it has refused what it was asked, and would again.
    #[error("The provider of the login {0}.")]
    Denied(String),
}

impl Error {
    #[must_use]
    pub fn kind(&self) -> McpFailureKind {
        match self {
            Self::TooSlow(_) => McpFailureKind::Timeout,
            // As the peer has it: whatever keeps the two from talking.
            Self::Unreachable
            | Self::NotCalled(_)
            | Self::Invalid
            | Self::Status(_)
            | Self::Unauthorized(_)
            | Self::Login(_)
            | Self::Denied(_)
            | Self::Ended
            | Self::Strange
            | Self::TooLarge
            | Self::Refused(_) => McpFailureKind::Connection,
        }
    }
}

impl From<Broken> for Error {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Ended => Self::Ended,
            Broken::TooLarge => Self::TooLarge,
            Broken::Refused { message, .. } => Self::Refused(message),
        }
    }
}

impl From<outbound::Error> for Error {
    fn from(error: outbound::Error) -> Self {
        match error {
            outbound::Error::Refused(why) => Self::NotCalled(why),
            outbound::Error::Setup(_) => Self::Unreachable,
        }
    }
}

impl From<reqwest::Error> for Error {
    fn from(error: reqwest::Error) -> Self {
        outbound::cause_of_refusal(&error).map_or(Self::Unreachable, Self::NotCalled)
    }
}

impl From<&Error> for McpFailure {
    fn from(error: &Error) -> Self {
        Self { kind: error.kind(), error: error.to_string() }
    }
}
