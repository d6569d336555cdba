//! A conversation as it is stored (the record) and as its log says it is (the projection).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::content::Message;
use crate::ids::{ConversationId, SandboxId, Seq, TenantId};
use crate::log::{Control, LogRecord};
use crate::policy::{ConfirmationPolicy, SecurityAnalyzer};
use crate::secrets::SecretSource;
use crate::stats::Stats;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Status {
    #[default]
    Idle,
    Running,
    Paused,
    WaitingForConfirmation,
    Finished,
    Error,
    Stuck,
    Deleting,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Workspace {
    pub working_dir: String,
    #[serde(default = "local_workspace")]
    pub kind: String,
}

fn local_workspace() -> String {
    "LocalWorkspace".to_owned()
}

/// What was asked for at creation and what `PATCH` changes: bucket `CONVERSATIONS`, key = id in hex.
/// Secrets inside `agent` and `secrets` are sealed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub id: ConversationId,
    #[serde(default)]
    pub tenant: TenantId,
    pub sandbox: SandboxId,
    /// UTC with `Z`.
    pub created_at: String,
    pub title: Option<String>,
    pub workspace: Workspace,
    pub agent: Value,
    pub max_iterations: u64,
    pub stuck_detection: bool,
    pub confirmation_policy: ConfirmationPolicy,
    pub security_analyzer: Option<SecurityAnalyzer>,
    #[serde(default)]
    pub secrets: BTreeMap<String, SecretSource>,
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    #[serde(default)]
    pub tool_module_qualnames: BTreeMap<String, String>,
    #[serde(default)]
    pub client_tools: Vec<Value>,
    #[serde(default)]
    pub hook_config: Option<Value>,
    #[serde(default)]
    pub autotitle: bool,
    #[serde(default)]
    pub user_id: Option<String>,
    #[serde(default)]
    pub parent_conversation_id: Option<ConversationId>,
    #[serde(default)]
    pub forked_from_conversation_id: Option<ConversationId>,
    #[serde(default)]
    pub forked_from_event_id: Option<String>,
    /// The first message, until the worker has stored it; a repeated create delivers it then.
    #[serde(default)]
    pub undelivered: Option<FirstMessage>,
}

/// `initial_message` of the create call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FirstMessage {
    pub message: Message,
    pub run: bool,
}

/// What a log says about its conversation: the fold of its records. Rebuilt from the log at any time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Projection {
    /// The last record folded in.
    pub seq: Seq,
    /// Events so far: the `n` of the next one.
    pub events: u64,
    pub status: Status,
    pub last_user_message_id: Option<String>,
    /// The last tree event: what the next one hangs below.
    pub leaf_event_id: Option<String>,
    /// The newest event's timestamp, in the event form.
    pub last_timestamp: Option<String>,
    /// The newest timestamp among events that are not state updates, in the event form.
    pub touched: Option<String>,
    pub stats: Stats,
    /// Replaces the record's, once changed.
    #[serde(default)]
    pub confirmation_policy: Option<ConfirmationPolicy>,
    /// Replaces the record's, once changed; the inner `None` is "none".
    #[serde(default)]
    pub security_analyzer: Option<Option<SecurityAnalyzer>>,
    #[serde(default)]
    pub tags: Option<BTreeMap<String, String>>,
    /// Other public fields that were announced by state updates.
    #[serde(default)]
    pub other: Map<String, Value>,
}

/// The few fields of an event the projection looks at.
#[derive(Deserialize)]
struct Glance {
    id: String,
    timestamp: String,
    kind: String,
    #[serde(default)]
    key: Option<String>,
    #[serde(default)]
    value: Option<Value>,
}

impl Projection {
    /// Folds in one record. Records at or before `self.seq` are passed over, so a replay is harmless.
    pub fn apply(&mut self, seq: Seq, record: &LogRecord) {
        if seq <= self.seq {
            return;
        }
        self.seq = seq;
        match record {
            LogRecord::Event { n, event } => {
                self.events = n + 1;
                if let Ok(glance) = serde_json::from_str::<Glance>(event.get()) {
                    self.look_at(glance);
                }
            }
            LogRecord::Control(Control::Usage(usage)) => self.stats.add(usage),
            LogRecord::Control(Control::Models { usage_to_model }) => {
                usage_to_model.iter().for_each(|(usage_id, model)| self.stats.register(usage_id, model));
            }
            LogRecord::Control(Control::Fence { .. } | Control::RunEnded {}) => {}
        }
    }

    fn look_at(&mut self, event: Glance) {
        self.last_timestamp = Some(event.timestamp.clone());
        if event.kind != "ConversationStateUpdateEvent" {
            self.leaf_event_id = Some(event.id);
            self.touched = Some(event.timestamp);
            return;
        }
        let value = event.value.unwrap_or(Value::Null);
        match event.key.as_deref() {
            Some("execution_status") => self.status = read(value).unwrap_or_default(),
            Some("last_user_message_id") => self.last_user_message_id = read(value),
            Some("confirmation_policy") => self.confirmation_policy = read(value),
            Some("security_analyzer") => self.security_analyzer = Some(read(value)),
            Some("tags") => self.tags = read(value),
            Some("stats") | None => {}
            Some(key) => {
                self.other.insert(key.to_owned(), value);
            }
        }
    }
}

fn read<T: serde::de::DeserializeOwned>(value: Value) -> Option<T> {
    serde_json::from_value(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(n: u64, event: Value) -> LogRecord {
        LogRecord::event(n, &event).unwrap()
    }

    #[test]
    fn a_replayed_record_changes_nothing() {
        let mut projection = Projection::default();
        let message = event(0, json!({"id": "m", "timestamp": "t1", "kind": "MessageEvent"}));
        let running = event(
            1,
            json!({"id": "s", "timestamp": "t2", "kind": "ConversationStateUpdateEvent",
            "key": "execution_status", "value": "running"}),
        );
        projection.apply(Seq(10), &message);
        projection.apply(Seq(20), &running);
        let once = projection.clone();
        projection.apply(Seq(10), &message);
        assert_eq!(projection, once);
        assert_eq!((once.status, once.events), (Status::Running, 2));
        assert_eq!((once.leaf_event_id.as_deref(), once.touched.as_deref()), (Some("m"), Some("t1")));
    }
}
