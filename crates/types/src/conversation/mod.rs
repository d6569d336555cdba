//! A conversation as it is stored (the record) and as its log says it is (the projection).

mod origin;

use std::collections::BTreeMap;
use std::ops::Deref;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::announced;
use crate::brought::Brought;
use crate::content::Message;
use crate::event::{Event, EventBody, Head, StateUpdate};
use crate::goal::Goal;
use crate::ids::{ConversationId, SandboxId, Seq, TenantId};
use crate::known_values::KnownValues;
use crate::log::{Control, LogRecord};
use crate::policy::{ConfirmationPolicy, SecurityAnalyzer};
use crate::secrets::SecretSource;
use crate::stats::Stats;
use crate::worktree::Worktree;

pub use crate::status::Status;
pub use origin::Origin;

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

/// Characters of a title.
pub const TITLE_CHARS: usize = 200;

/// The title that a text makes which nobody has checked: one line of visible characters, or none.
#[must_use]
pub fn clean_title(text: &str) -> Option<String> {
    // Some characters only turn the direction of others, or are there and cannot be seen.
    let is_unseen = |c: char| matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    let seen = text.chars().filter(|c| !is_unseen(*c)).map(|c| if c.is_control() { ' ' } else { c });
    let title: String = seen.skip_while(|c| c.is_whitespace()).take(TITLE_CHARS).collect();
    let title = title.split_whitespace().collect::<Vec<_>>().join(" ");
    (!title.is_empty()).then_some(title)
}

/// What was asked for at creation and what `PATCH` changes: bucket `CONVERSATIONS`, key = id in hex.
/// Secrets inside `agent`, `secrets` and `past_secrets` are sealed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConversationRecord {
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
    /// Values that secrets had, or that were looked up for them: they are hidden still.
    #[serde(default, skip_serializing_if = "KnownValues::is_empty")]
    pub past_secrets: KnownValues,
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub launched_agent_profile: Option<LaunchedAgentProfile>,
    /// The working tree that its workspace lies in, where one was made for it or for another conversation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worktree: Option<Worktree>,
    /// The first message, until the worker has stored it; a repeated create delivers it then.
    #[serde(default)]
    pub undelivered: Option<FirstMessage>,
    /// The first message, if the worker does not take it now or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<RefusedMessage>,
    #[serde(default, skip_serializing_if = "Titling::is_usual")]
    pub titling: Titling,
}

impl ConversationRecord {
    /// Whether both are of one conversation, though stored at different times: not of another that has its id before or after
    /// it, and not of itself placed elsewhere.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.id == other.id
            && self.tenant == other.tenant
            && self.sandbox == other.sandbox
            && self.created_at == other.created_at
    }
}

/// How a client wants the title of a conversation to be made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Titling {
    /// The LLM profile that was asked for.
    #[serde(default)]
    pub llm_profile: Option<String>,
    /// What its model was then, secrets sealed; `None`: the agent's own is asked.
    #[serde(default)]
    pub llm: Option<Value>,
    /// What asks for a title, in the place of our own words.
    #[serde(default)]
    pub prompt: Option<String>,
}

impl Titling {
    #[must_use]
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

/// The agent profile that a conversation was made from, as it was then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LaunchedAgentProfile {
    pub agent_profile_id: Uuid,
    pub revision: u64,
    /// The secrets that the conversation may have; null: all.
    #[serde(default)]
    pub secret_refs: Option<Vec<String>>,
    /// The model profile that was asked for instead of the profile's own.
    #[serde(default)]
    pub llm_profile_ref: Option<String>,
}

impl LaunchedAgentProfile {
    #[must_use]
    pub fn allows_secret(&self, name: &str) -> bool {
        self.secret_refs.as_ref().is_none_or(|names| names.iter().any(|allowed| allowed == name))
    }
}

/// `initial_message` of the create call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FirstMessage {
    pub message: Message,
    pub run: bool,
}

/// A message that no agent was given, though its sender was told that it would be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RefusedMessage {
    pub message: Message,
    /// For whoever has sent it.
    pub why: String,
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
    /// HEAD: what the next tree event hangs below. The last one, unless HEAD was moved since.
    pub leaf_event_id: Option<String>,
    /// HEAD was moved before the first event, and there is nothing below it yet.
    #[serde(default)]
    pub head_is_empty: bool,
    /// HEAD was moved some time: there may be events that are not on its branch.
    #[serde(default)]
    pub navigated: bool,
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
    /// The newest one.
    #[serde(default)]
    pub goal: Option<Goal>,
    /// Those of [`announced::KEYS`] that state updates announced.
    #[serde(default)]
    pub other: Map<String, Value>,
    /// The last record with which the conversation was paused, interrupted, or given other tags: of that webhooks are told.
    #[serde(default)]
    pub noted: Seq,
    #[serde(default)]
    pub origin: Origin,
    /// Actions that have no result yet, as far as events say. A run that begins closes what is left.
    #[serde(default)]
    pub open_actions: u64,
}

const STATE_UPDATE: &str = "ConversationStateUpdateEvent";

/// Kinds of events that say of a conversation what webhooks are told.
const NOTED: [&str; 2] = ["PauseEvent", "InterruptEvent"];

/// The keys of state updates with a field of their own.
const FOLDED: [&str; 6] =
    ["execution_status", "last_user_message_id", "confirmation_policy", "security_analyzer", "tags", "goal"];

/// What a state update says, its value unread.
#[derive(Deserialize)]
struct UnreadUpdate<'a> {
    #[serde(default)]
    key: Option<String>,
    #[serde(default, borrow)]
    value: Option<&'a RawValue>,
}

impl Projection {
    /// Folds in one record. Records at or before `self.seq` are passed over, so a replay is harmless.
    pub fn apply<E: Deref<Target = RawValue>>(&mut self, seq: Seq, record: &LogRecord<E>) {
        self.fold(seq, record, |projection, event| {
            let Ok(head) = Head::of(event.get()) else { return };
            if NOTED.contains(&head.kind.as_ref()) {
                projection.noted = seq;
            }
            if head.kind != STATE_UPDATE {
                projection.open_actions = match head.kind.as_ref() {
                    "ActionEvent" => projection.open_actions.saturating_add(1),
                    "ObservationEvent" | "AgentErrorEvent" | "UserRejectObservation" => {
                        projection.open_actions.saturating_sub(1)
                    }
                    _ => projection.open_actions,
                };
                return projection.grow(&head.id, &head.timestamp);
            }
            let Ok(update) = serde_json::from_str::<UnreadUpdate<'_>>(event.get()) else { return };
            let text = update.value.map_or("null", RawValue::get);
            projection.update(&head.timestamp, update.key.as_deref(), || announced::value(text));
        });
    }

    /// As [`Self::apply`], of a record whose event was read.
    pub fn apply_read(&mut self, seq: Seq, record: &LogRecord<Event>) {
        self.fold(seq, record, |projection, event| match &event.body {
            EventBody::ConversationStateUpdateEvent(StateUpdate { key, value }) => {
                let value = || announced::bounded(value.as_ref().unwrap_or(&Value::Null)).cloned();
                projection.update(&event.timestamp, Some(key), value);
            }
            EventBody::PauseEvent(_) | EventBody::InterruptEvent(_) => {
                projection.noted = seq;
                projection.grow(&event.id.0, &event.timestamp);
            }
            _ => projection.grow(&event.id.0, &event.timestamp),
        });
    }

    fn fold<E>(&mut self, seq: Seq, record: &LogRecord<E>, look_at: impl FnOnce(&mut Self, &E)) {
        if seq <= self.seq {
            return;
        }
        self.origin = self.origin.after(record, self.seq == Seq::ZERO);
        self.seq = seq;
        match record {
            LogRecord::Event { n, event } => {
                // A worker says what `n` is.
                self.events = n.saturating_add(1);
                look_at(self, event);
            }
            LogRecord::Control(Control::Usage(usage)) => self.stats.add(usage),
            LogRecord::Control(Control::Models { usage_to_model }) => {
                usage_to_model.iter().for_each(|(usage_id, model)| self.stats.register(usage_id, model));
            }
            LogRecord::Control(Control::Head { event }) => {
                self.leaf_event_id = event.as_ref().and_then(|event| announced::name(event.as_str()));
                self.head_is_empty = event.is_none();
                self.navigated = true;
                self.open_actions = 0;
            }
            LogRecord::Control(Control::Forked { .. }) => {
                self.status = Status::Idle;
                self.last_user_message_id = None;
                self.tags = None;
                self.open_actions = 0;
            }
            LogRecord::Control(Control::Brought(brought)) => self.begin_with(brought),
            LogRecord::Control(Control::Fence { .. } | Control::RunEnded {} | Control::Answer { .. }) => {}
        }
    }

    /// What is said of a conversation that was brought here counts, and not what its events say.
    fn begin_with(&mut self, brought: &Brought) {
        let id = |id: &Option<String>| id.as_deref().and_then(announced::name);
        (self.status, self.open_actions) = (brought.status, 0);
        self.last_user_message_id = id(&brought.last_user_message_id);
        self.leaf_event_id = id(&brought.leaf_event_id).or(self.leaf_event_id.take());
        self.stats = brought.stats.bounded();
        (self.confirmation_policy, self.security_analyzer, self.tags) = (None, None, None);
        let is_kept = |key: &String, value: &Value| {
            announced::KEYS.contains(&key.as_str()) && announced::bounded(value).is_some()
        };
        let kept = brought.announced.iter().filter(|(key, value)| is_kept(key, value));
        self.other = kept.map(|(key, value)| (key.clone(), value.clone())).collect();
    }

    /// A tree event.
    fn grow(&mut self, id: &str, timestamp: &str) {
        self.last_timestamp = announced::name(timestamp).or(self.last_timestamp.take());
        self.leaf_event_id = announced::name(id).or(self.leaf_event_id.take());
        self.head_is_empty = false;
        self.touched = announced::name(timestamp).or(self.touched.take());
    }

    /// `value`: `None` if it has no room. Then the earlier one stays; the event itself is in the log.
    fn update(&mut self, timestamp: &str, key: Option<&str>, value: impl FnOnce() -> Option<Value>) {
        self.last_timestamp = announced::name(timestamp).or(self.last_timestamp.take());
        let Some(key) = key.filter(|key| FOLDED.contains(key) || announced::KEYS.contains(key)) else {
            return;
        };
        let Some(value) = value() else { return };
        match key {
            "execution_status" => self.status = read(value).unwrap_or_default(),
            "last_user_message_id" => {
                self.last_user_message_id = read(value).and_then(|id: String| announced::name(&id));
            }
            "confirmation_policy" => self.confirmation_policy = read(value),
            "security_analyzer" => self.security_analyzer = Some(read(value)),
            "tags" => {
                self.tags = read(value);
                self.noted = self.seq;
            }
            "goal" => self.goal = read(value),
            key => {
                self.other.insert(key.to_owned(), value);
            }
        }
    }
}

fn read<T: serde::de::DeserializeOwned>(value: Value) -> Option<T> {
    serde_json::from_value(value).ok()
}

#[cfg(test)]
mod tests;
