//! What a worker is asked of agents behind the Agent Client Protocol.

use serde::{Deserialize, Serialize};

use crate::acp::{AcpDiscovery, AcpProgram};
use crate::service::{AnswerTo, OfWorker, Service};

/// Gateway to worker, `mh.cmd.<sandbox>.acp`. Answered with [`AcpDiscovery`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum AcpCall {
    /// Starts it, asks which models it offers, and ends it.
    Models { program: AcpProgram, timeout_ms: u64 },
}

impl Service for AcpCall {
    const NAME: &'static str = "acp";
}

impl OfWorker for AcpCall {}
impl AnswerTo<AcpCall> for AcpDiscovery {}
