//! What a worker is asked of the editor in the browser.

use serde::{Deserialize, Serialize};

use crate::service::{AnswerTo, OfWorker, Service};

/// Gateway to worker, `mh.cmd.<sandbox>.editor`. Answered with [`EditorState`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum EditorCall {
    /// Starts it, unless it runs, and waits until it can be opened.
    Start {},
    Status {},
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EditorState {
    pub running: bool,
    /// What opens it, where it runs.
    pub token: Option<String>,
}

impl Service for EditorCall {
    const NAME: &'static str = "editor";

    fn only_reads(&self) -> bool {
        match self {
            Self::Status {} => true,
            Self::Start {} => false,
        }
    }
}

impl OfWorker for EditorCall {}
impl AnswerTo<EditorCall> for EditorState {}
