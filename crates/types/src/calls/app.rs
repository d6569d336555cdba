//! What a worker is asked of programs that extensions of the user interface bring along.

use serde::{Deserialize, Serialize};

use crate::app::{App, AppLogs, AppState};
use crate::service::{AnswerTo, OfWorker, Service};

/// Gateway to worker, `mh.cmd.<sandbox>.app`. Answered with [`AppAnswer`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum AppCall {
    Status {
        app: App,
    },
    /// Fetches and unpacks what the user has approved.
    Prepare {
        app: App,
        revision: String,
    },
    /// Starts it and waits until it is ready.
    Start {
        app: App,
        revision: String,
    },
    Stop {
        name: String,
    },
    /// Stops it, and removes all of it but what it has written.
    Forget {
        name: String,
    },
    Logs {
        name: String,
        limit_bytes: usize,
    },
    /// Removes what the program has written.
    DeleteData {
        app: App,
    },
    /// The port of a program that is ready.
    Endpoint {
        name: String,
    },
    /// Whether any program runs.
    Running {},
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", content = "value", rename_all = "snake_case")]
pub enum AppAnswer {
    State(AppState),
    Logs(AppLogs),
    Endpoint(Option<u16>),
    Running(bool),
    Stopped,
}

impl Service for AppCall {
    const NAME: &'static str = "app";

    fn only_reads(&self) -> bool {
        match self {
            Self::Logs { .. } | Self::Endpoint { .. } | Self::Running {} => true,
            // Whoever looks at the state finds out that a program has ended, and cleans up after it.
            Self::Status { .. }
            | Self::Prepare { .. }
            | Self::Start { .. }
            | Self::Stop { .. }
            | Self::Forget { .. }
            | Self::DeleteData { .. } => false,
        }
    }
}

impl OfWorker for AppCall {}
impl AnswerTo<AppCall> for AppAnswer {}
