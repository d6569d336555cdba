//! A conversation as it is stored (the record) and as its log says it is (the projection).

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
}

const STATE_UPDATE: &str = "ConversationStateUpdateEvent";

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
            if head.kind != STATE_UPDATE {
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
            _ => projection.grow(&event.id.0, &event.timestamp),
        });
    }

    fn fold<E>(&mut self, seq: Seq, record: &LogRecord<E>, look_at: impl FnOnce(&mut Self, &E)) {
        if seq <= self.seq {
            return;
        }
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
            }
            LogRecord::Control(Control::Forked {}) => {
                self.status = Status::Idle;
                self.last_user_message_id = None;
                self.tags = None;
            }
            LogRecord::Control(Control::Brought(brought)) => self.begin_with(brought),
            LogRecord::Control(Control::Fence { .. } | Control::RunEnded {}) => {}
        }
    }

    /// What is said of a conversation that was brought here counts, and not what its events say.
    fn begin_with(&mut self, brought: &Brought) {
        let id = |id: &Option<String>| id.as_deref().and_then(announced::name);
        self.status = brought.status;
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
            "tags" => self.tags = read(value),
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
mod tests {
    use super::*;
    use serde_json::json;

    /// More than any honest log makes of one: 128 KiB for each of the eight values, 2.5 MiB for the calls.
    const MOST: usize = 4 * 1024 * 1024;

    fn update(n: u64, key: &str, value: &Value) -> LogRecord {
        event(
            n,
            json!({"id": "s", "timestamp": "t", "kind": "ConversationStateUpdateEvent", "key": key, "value": value}),
        )
    }

    #[test]
    fn no_log_makes_a_projection_that_is_large_or_cannot_be_stored() {
        let mut projection = Projection::default();
        let big = Value::from("x".repeat(announced::MOST_BYTES));
        let many = Value::from(vec![json!([]); announced::MOST_BYTES / 4]);
        let long = "y".repeat(1 << 20);
        let mut n = 0;
        let mut apply = |record: &LogRecord| {
            n += 1;
            projection.apply(Seq(n), record);
        };
        let known = ["tags", "last_user_message_id", "execution_status", "confirmation_policy"];
        for key in announced::KEYS.into_iter().chain(known) {
            apply(&update(0, key, &big));
            apply(&update(0, key, &many));
            apply(&update(0, key, &json!({ "a": long })));
        }
        for i in 0..2_000 {
            apply(&update(0, &format!("key-{i}"), &Value::from("z".repeat(1 << 10))));
            let usage_id = format!("{i}-{}", "u".repeat(1 << 10));
            apply(&LogRecord::Control(Control::Usage(crate::stats::Usage {
                usage_id: usage_id.clone(),
                tokens: crate::stats::TokenUsage {
                    model: "m".repeat(1 << 10),
                    response_id: "r".repeat(1 << 10),
                    prompt_tokens: u64::MAX,
                    ..Default::default()
                },
                cost: f64::MAX,
                latency: 1.0,
                at: 1.0,
            })));
            apply(&LogRecord::Control(Control::Models { usage_to_model: vec![(usage_id, long.clone())] }));
        }
        apply(&event(0, json!({"id": long, "timestamp": long, "kind": "MessageEvent"})));
        let mut stats = projection.stats.clone();
        let name = "m".repeat(1 << 10);
        for i in 0..500 {
            let usage = crate::stats::TokenUsage { model: name.clone(), ..Default::default() };
            let metrics =
                crate::stats::Metrics { token_usages: vec![usage; 100], ..crate::stats::Metrics::new(&name) };
            stats.usage_to_metrics.insert(format!("{i}-{name}"), metrics);
        }
        let announced =
            announced::KEYS.into_iter().chain(["of_no_answer"]).map(|key| (key.to_owned(), big.clone()));
        n += 1;
        let said: LogRecord = LogRecord::Control(Control::Brought(Box::new(Brought {
            last_user_message_id: Some(long.clone()),
            leaf_event_id: Some(long.clone()),
            stats,
            announced: announced.collect(),
            ..Brought::default()
        })));
        projection.apply(Seq(n), &said);

        let stored = serde_json::to_vec(&projection).unwrap();
        assert!(stored.len() < MOST, "{} bytes", stored.len());
        assert_eq!(serde_json::from_slice::<Projection>(&stored).unwrap(), projection);
        assert!(projection.other.is_empty(), "too large for each of the keys");
    }

    #[test]
    fn an_index_that_no_log_can_have_ends_nothing() {
        let mut projection = Projection::default();
        let message = |n| event(n, json!({"id": "e", "timestamp": "t", "kind": "MessageEvent"}));
        projection.apply(Seq(1), &message(u64::MAX));
        assert_eq!((projection.seq, projection.events), (Seq(1), u64::MAX));
        projection.apply(Seq(2), &message(7));
        assert_eq!((projection.seq, projection.events), (Seq(2), 8));
    }

    #[test]
    fn an_announced_field_is_kept_where_an_answer_shows_it() {
        let mut projection = Projection::default();
        projection.apply(Seq(1), &update(0, "invoked_skills", &json!(["a"])));
        projection.apply(Seq(2), &update(1, "of_no_answer", &json!(["b"])));
        projection
            .apply(Seq(3), &update(2, "invoked_skills", &Value::from("x".repeat(announced::MOST_BYTES))));
        let kept = Map::from_iter([("invoked_skills".to_owned(), json!(["a"]))]);
        assert_eq!(projection.other, kept, "what has no room changes nothing");
    }

    #[test]
    fn what_is_said_of_a_conversation_that_was_brought_here_counts_and_not_what_its_events_say() {
        let mut projection = Projection::default();
        let message =
            event(0, json!({"id": "m", "timestamp": "2026-11-23T00:00:01", "kind": "MessageEvent"}));
        projection.apply(Seq(1), &message);
        projection.apply(Seq(2), &update(1, "execution_status", &json!("running")));
        projection.apply(Seq(3), &update(2, "tags", &json!({"a": "b"})));
        let mut stats = Stats::default();
        stats.register("agent", "m");
        let brought = Brought {
            status: Status::Paused,
            leaf_event_id: Some("m".to_owned()),
            stats: stats.clone(),
            announced: Map::from_iter([("invoked_skills".to_owned(), json!(["s"]))]),
            ..Brought::default()
        };
        let said: LogRecord = LogRecord::Control(Control::Brought(Box::new(brought)));
        projection.apply(Seq(4), &said);
        assert_eq!((projection.status, projection.tags.as_ref()), (Status::Paused, None));
        assert_eq!((projection.events, projection.stats.clone()), (3, stats));
        assert_eq!(projection.other, Map::from_iter([("invoked_skills".to_owned(), json!(["s"]))]));
        projection.apply(Seq(5), &update(3, "execution_status", &json!("finished")));
        assert_eq!(projection.status, Status::Finished, "and what comes after it counts again");
    }

    fn event(n: u64, event: Value) -> LogRecord {
        LogRecord::event(n, &event).unwrap()
    }

    #[test]
    fn a_title_is_one_short_line_of_what_can_be_seen() {
        assert_eq!(clean_title(" a\n\tb\u{1b}[1m \u{202e}c\u{0} ").unwrap(), "a b [1m c");
        assert_eq!(clean_title(&"é".repeat(1 << 20)).unwrap().chars().count(), TITLE_CHARS);
        assert_eq!(clean_title("\n\u{200b} \u{feff}"), None);
    }

    #[test]
    fn an_event_that_was_read_counts_as_one_that_was_not() {
        let message = json!({"id": "m", "timestamp": "t1", "source": "user", "kind": "MessageEvent", "llm_message": {}});
        let future = json!({"id": "f", "timestamp": "t2", "source": "agent", "kind": "FromTheFuture"});
        let updates = [
            ("execution_status", json!("running")),
            ("tags", json!({"a": "b"})),
            ("security_analyzer", Value::Null),
            ("invoked_skills", json!(["x"])),
            ("hook_config", Value::from("x".repeat(announced::MOST_BYTES))),
            ("stats", json!({})),
            ("of_no_answer", json!(1)),
        ];
        let updates = updates.map(|(key, value)| {
            json!({"id": key, "timestamp": "t3", "source": "environment", "kind": STATE_UPDATE, "key": key,
                "value": value})
        });
        let (mut glanced, mut read) = (Projection::default(), Projection::default());
        for (n, one) in (0..).zip([message, future].into_iter().chain(updates)) {
            let line = event(n, one).encode().unwrap();
            glanced.apply(Seq(n + 1), &LogRecord::decode(&line).unwrap());
            read.apply_read(Seq(n + 1), &LogRecord::decode_as(&line).unwrap());
        }
        assert_eq!(read, glanced);
        assert_eq!(
            (read.events, read.leaf_event_id.as_deref(), read.status),
            (9, Some("f"), Status::Running)
        );
        assert_eq!(read.other.len(), 1);
    }

    #[test]
    fn head_is_where_it_was_moved_until_something_is_added() {
        let mut projection = Projection::default();
        let message = |n, id: &str| event(n, json!({"id": id, "timestamp": "t", "kind": "MessageEvent"}));
        let head = |event: Option<&str>| -> LogRecord {
            LogRecord::Control(Control::Head { event: event.map(Into::into) })
        };
        let seen = |projection: &Projection| {
            let leaf = projection.leaf_event_id.clone().unwrap_or_default();
            (leaf, projection.head_is_empty, projection.navigated)
        };
        projection.apply(Seq(1), &message(0, "a"));
        projection.apply(Seq(2), &message(1, "b"));
        assert_eq!(seen(&projection), ("b".to_owned(), false, false));
        projection.apply(Seq(3), &head(Some("a")));
        assert_eq!(seen(&projection), ("a".to_owned(), false, true));
        projection.apply(Seq(4), &head(None));
        assert_eq!(seen(&projection), (String::new(), true, true));
        projection.apply(Seq(5), &message(2, "c"));
        assert_eq!(seen(&projection), ("c".to_owned(), false, true));
        assert_eq!(projection.events, 3);
    }

    #[test]
    fn a_copy_has_no_status_and_no_tags_of_what_it_was_copied_from() {
        let mut projection = Projection::default();
        projection.apply(Seq(1), &update(0, "execution_status", &json!("running")));
        projection.apply(Seq(2), &update(1, "tags", &json!({"a": "b"})));
        projection.apply(Seq(3), &update(2, "confirmation_policy", &json!({"kind": "AlwaysConfirm"})));
        let copied: LogRecord = LogRecord::Control(Control::Forked {});
        projection.apply(Seq(4), &copied);
        assert_eq!((projection.status, &projection.tags), (Status::Idle, &None));
        assert_eq!(projection.confirmation_policy, Some(ConfirmationPolicy::AlwaysConfirm));
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
