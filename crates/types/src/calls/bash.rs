//! What a worker is told to do with commands.

use serde::{Deserialize, Serialize};

use super::Scope;
use crate::bash::{BashCommand, ExecuteBashRequest};
use crate::ids::Seq;
use crate::service::{AnswerTo, OfWorker, Service};

/// Gateway to worker, `mh.cmd.<sandbox>.bash`. Events go to the log of [`Scope::bash`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum BashCall {
    /// Answered with [`BashStarted`] once the command event is stored.
    Start { scope: Scope, request: ExecuteBashRequest },
    /// Answered with [`BashStopped`] when the command and the children it left behind have ended; also for one
    /// that had. NotFound: unknown.
    Stop { scope: Scope, command_id: String },
    /// Forgets all events of the scope; answered with [`BashCleared`].
    Clear { scope: Scope },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BashStarted {
    pub command: BashCommand,
    /// The command event's position in the log: its output comes after it.
    pub seq: Seq,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BashStopped {
    /// Whether it has ended; false for one that does not end in time.
    pub ended: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BashCleared {
    pub cleared_count: u64,
}

impl Service for BashCall {
    const NAME: &'static str = "bash";
}

impl OfWorker for BashCall {}
impl AnswerTo<BashCall> for BashStarted {}
impl AnswerTo<BashCall> for BashCleared {}
impl AnswerTo<BashCall> for BashStopped {}
