//! Model calls of workers that hold no keys, and the broker's answers to them.

use serde::{Deserialize, Serialize};

use crate::ids::{ConversationId, Epoch};
use crate::service::{AnswerTo, OfControlPlane, Service};

/// Worker to broker, `mh.llm.<sandbox>`: one POST to a provider. Which headers go with it, the broker knows
/// itself. The blob is the first part of the body. Answered with `null` once it is taken up; the
/// [`ModelPiece`]s follow on the call's own answer subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelCall {
    /// Chosen by the worker, unlike all others of its incarnation: ASCII letters and digits, 1 to 64.
    pub id: String,
    /// Of the caller: where its answers go.
    pub epoch: Epoch,
    pub conversation: ConversationId,
    /// The usage id of the model that is called, to tell it from others of the conversation with its URL and name: they may have
    /// keys of their own.
    #[serde(default)]
    pub usage: String,
    pub url: String,
    /// Of the whole body.
    pub body_bytes: u64,
}

/// Worker to broker, on the call's own subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum ModelNote {
    /// The next part of the body, in the blob: a request, answered with nothing once it is taken.
    Body {},
    /// The answer is not wanted any more.
    Cancel {},
}

/// Broker to worker: a part of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelPiece {
    /// Counts from 0 without gaps: where one is missing, the answer is not whole.
    pub n: u64,
    pub part: Part,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "part", rename_all = "snake_case")]
pub enum Part {
    Head {
        status: u16,
        headers: Vec<(String, String)>,
    },
    /// The next bytes of the answer's body, in the blob.
    Body {},
    End {},
    /// Still at it.
    Alive {},
    /// The exchange broke; `lasting` where trying again does not help.
    Failed {
        message: String,
        lasting: bool,
    },
}

impl Service for ModelCall {
    const NAME: &'static str = "llm";
}

impl OfControlPlane for ModelCall {}
impl AnswerTo<ModelCall> for () {}
