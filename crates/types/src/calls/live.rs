//! What is streamed while a model answers.

use serde::{Deserialize, Serialize};

/// Worker to gateway, published on `mh.live.<sandbox>.<conversation>`: never stored, dropped first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Live {
    /// A streamed answer begins. `item_id` is the id its event will have.
    ItemStarted {
        item_id: String,
        attempt: u32,
        anchor_seq: Option<u64>,
    },
    Delta {
        item_id: String,
        attempt: u32,
        order: u64,
        kind: DeltaKind,
        content: String,
        chunk_id: Option<String>,
        choice_index: Option<u32>,
    },
    ItemAborted {
        item_id: String,
        attempt: u32,
        reason: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeltaKind {
    Text,
    Reasoning,
}
