//! Whether a worker rests.

use serde::{Deserialize, Serialize};

use crate::service::{AnswerTo, OfWorker, Service};

/// To a worker that is to be stopped because nobody uses it: whether it rests from now on, and takes no more calls. It does
/// if no call has come to it after the first `calls`, which its lease tells.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct RestCall {
    pub calls: u64,
}

impl Service for RestCall {
    const NAME: &'static str = "rest";
}

impl OfWorker for RestCall {}
impl AnswerTo<RestCall> for bool {}
