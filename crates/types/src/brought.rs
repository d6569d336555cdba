//! What another server said of a conversation when it was brought here. Its events alone do not tell: there is state that it
//! kept beside them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::stats::Stats;
use crate::status::Status;

/// The last record of a log that was brought here.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Brought {
    pub status: Status,
    pub last_user_message_id: Option<String>,
    /// What the next event hangs below.
    pub leaf_event_id: Option<String>,
    pub stats: Stats,
    /// Of [`crate::announced::KEYS`].
    pub announced: Map<String, Value>,
    /// Tools of its agent that are not there here, with the parameters that they had; and those that are named by a class alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub built_in_tools: Vec<Value>,
    /// What else stood in the other server's files, as it was written there: nothing here reads it, and it goes along when the
    /// conversation moves out again.
    pub meta: BTreeMap<String, String>,
    pub state: BTreeMap<String, String>,
}
