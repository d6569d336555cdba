//! A conversation as clients see it: `ConversationInfo` (nulls present, secrets null) and the snapshot of
//! the sockets (nulls left out, secrets masked).

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use types::agent::document::drop_nulls;
use types::conversation::{ConversationRecord, LaunchedAgentProfile, Projection, Status, Workspace};
use types::placement::FailureReason;
use types::policy::{ConfirmationPolicy, SecurityAnalyzer};
use types::secrets::SecretSource;
use types::stats::Stats;
use types::{ConversationId, EventId};

use super::conversation::{ConversationState, State};

/// How a conversation is shown.
pub struct View<'a> {
    pub conversations_path: &'a Path,
    pub include_skills: bool,
    pub runtime: Option<RuntimeInfo>,
}

/// A conversation as the API answers it.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = ConversationInfo)]
pub struct ConversationInfo<'a> {
    id: ConversationId,
    workspace: &'a Workspace,
    persistence_dir: String,
    max_iterations: u64,
    stuck_detection: bool,
    execution_status: Status,
    confirmation_policy: &'a ConfirmationPolicy,
    security_analyzer: Option<&'a SecurityAnalyzer>,
    #[schema(value_type = Vec<String>)]
    activated_knowledge_skills: Value,
    #[schema(value_type = Vec<String>)]
    invoked_skills: Value,
    #[schema(value_type = BTreeMap<String, String>)]
    blocked_actions: Value,
    #[schema(value_type = BTreeMap<String, String>)]
    blocked_messages: Value,
    last_user_message_id: Option<&'a str>,
    leaf_event_id: Option<&'a str>,
    stats: &'a Stats,
    /// Without values.
    secret_registry: Registry,
    agent_state: Map<String, Value>,
    hook_config: Option<&'a Value>,
    title: Option<&'a str>,
    /// Always null: what models used is in `stats`.
    #[schema(value_type = Option<Object>)]
    metrics: Option<()>,
    /// UTC with `Z`.
    created_at: &'a str,
    /// UTC with `Z`.
    updated_at: String,
    forked_from_conversation_id: Option<ConversationId>,
    forked_from_event_id: Option<&'a str>,
    parent_conversation_id: Option<ConversationId>,
    sub_conversation_ids: &'a [ConversationId],
    tags: &'a BTreeMap<String, String>,
    /// Always null: it is for agents that are other programs.
    #[schema(value_type = Option<String>)]
    current_model_id: Option<()>,
    /// Always empty, as `current_model_id`.
    #[schema(value_type = Vec<Object>)]
    available_models: [(); 0],
    supports_runtime_model_switch: bool,
    launched_agent_profile: Option<&'a LaunchedAgentProfile>,
    /// As it was given, defaults put in, secrets null.
    #[schema(value_type = Object)]
    agent: Cow<'a, RawValue>,
    client_tools: &'a [Value],
    tool_module_qualnames: &'a BTreeMap<String, String>,
    /// Null in the answer of a creation.
    runtime_info: Option<RuntimeInfo>,
}

/// `ConversationRuntimeInfo`: whether what the conversation runs in is at hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct RuntimeInfo {
    pub runtime_status: RuntimeStatus,
    pub can_resume: bool,
    pub runtime_error: Option<RuntimeError>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RuntimeStatus {
    /// The next call is answered, if need be after a start.
    Available,
    Starting,
    /// It was deleted.
    Missing,
    /// It did not start, or ended by itself.
    Error,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct RuntimeError {
    #[schema(value_type = String)]
    pub code: FailureReason,
    /// One sentence.
    pub message: String,
}

#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = SecretRegistry)]
struct Registry {
    secret_sources: BTreeMap<String, SecretSource>,
}

impl ConversationState {
    /// `ConversationInfo` as JSON text, appended to `out`.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn write_info(
        &self,
        view: View<'_>,
        children: &[ConversationId],
        out: &mut Vec<u8>,
    ) -> serde_json::Result<()> {
        let state = self.state();
        let (record, projection) = (&*state.record, &state.projection);
        let shown = Shown::of(&state);
        serde_json::to_writer(
            out,
            &ConversationInfo {
                id: self.id,
                workspace: &record.workspace,
                persistence_dir: persistence_dir(view.conversations_path, self.id),
                max_iterations: record.max_iterations,
                stuck_detection: record.stuck_detection,
                execution_status: state.status(),
                confirmation_policy: shown.confirmation_policy,
                security_analyzer: shown.security_analyzer,
                activated_knowledge_skills: announced(projection, "activated_knowledge_skills", || json!([])),
                invoked_skills: announced(projection, "invoked_skills", || json!([])),
                blocked_actions: announced(projection, "blocked_actions", || json!({})),
                blocked_messages: announced(projection, "blocked_messages", || json!({})),
                last_user_message_id: projection.last_user_message_id.as_deref(),
                leaf_event_id: projection.leaf_event_id.as_deref(),
                stats: &projection.stats,
                secret_registry: registry(record, false),
                agent_state: Map::new(),
                hook_config: shown.hook_config,
                title: record.title.as_deref(),
                metrics: None,
                created_at: &record.created_at,
                updated_at: state.updated_at(&record.created_at),
                forked_from_conversation_id: record.forked_from_conversation_id,
                forked_from_event_id: record.forked_from_event_id.as_deref(),
                parent_conversation_id: record.parent_conversation_id,
                sub_conversation_ids: children,
                tags: shown.tags,
                current_model_id: None,
                available_models: [],
                supports_runtime_model_switch: false,
                launched_agent_profile: record.launched_agent_profile.as_ref(),
                agent: state.agent.info(view.include_skills),
                client_tools: &record.client_tools,
                tool_module_qualnames: &record.tool_module_qualnames,
                runtime_info: view.runtime,
            },
        )
    }

    /// The value of a `full_state` update as JSON text.
    #[must_use]
    pub fn snapshot(&self, conversations_path: &Path) -> String {
        let (mut value, agent) = {
            let state = self.state();
            (self.snapshot_value(&state, conversations_path), state.agent.clone())
        };
        if let Some(place) = value.get_mut("agent") {
            *place = agent.masked();
        }
        drop_nulls(&mut value);
        value.to_string()
    }

    fn snapshot_value(&self, state: &State, conversations_path: &Path) -> Value {
        let (record, projection) = (&*state.record, &state.projection);
        let shown = Shown::of(state);
        json!({
            "id": self.id,
            "agent": {},
            "workspace": record.workspace,
            "persistence_dir": persistence_dir(conversations_path, self.id),
            "max_iterations": record.max_iterations,
            "stuck_detection": record.stuck_detection,
            "execution_status": state.status(),
            "confirmation_policy": shown.confirmation_policy,
            "security_analyzer": shown.security_analyzer,
            "activated_knowledge_skills": announced(projection, "activated_knowledge_skills", || json!([])),
            "activated_path_rules": announced(projection, "activated_path_rules", || json!([])),
            "invoked_skills": announced(projection, "invoked_skills", || json!([])),
            "blocked_actions": announced(projection, "blocked_actions", || json!({})),
            "blocked_messages": announced(projection, "blocked_messages", || json!({})),
            "last_user_message_id": projection.last_user_message_id,
            "leaf_event_id": projection.leaf_event_id,
            "head_is_empty": projection.head_is_empty,
            "stats": projection.stats,
            "secret_registry": registry(record, true),
            "tags": shown.tags,
            "agent_state": {},
            "hook_config": shown.hook_config,
        })
    }
}

/// A `full_state` update with this value, which is JSON, as JSON text.
#[must_use]
pub fn full_state(id: &EventId, value: &str) -> String {
    let now = types::time::event_now();
    format!(
        r#"{{"id":"{id}","timestamp":"{now}","source":"environment","key":"full_state","value":{value},"kind":"ConversationStateUpdateEvent"}}"#
    )
}

/// Where a conversation's own folder is said to be.
#[must_use]
pub fn persistence_dir(conversations_path: &Path, id: ConversationId) -> String {
    conversations_path.join(id.hex()).to_string_lossy().into_owned()
}

/// Fields of the record that state updates replace.
struct Shown<'a> {
    confirmation_policy: &'a ConfirmationPolicy,
    security_analyzer: Option<&'a SecurityAnalyzer>,
    tags: &'a BTreeMap<String, String>,
    hook_config: Option<&'a Value>,
}

impl<'a> Shown<'a> {
    fn of(state: &'a State) -> Self {
        let (record, projection) = (&*state.record, &state.projection);
        let analyzer = projection.security_analyzer.as_ref().unwrap_or(&record.security_analyzer);
        Self {
            confirmation_policy: projection
                .confirmation_policy
                .as_ref()
                .unwrap_or(&record.confirmation_policy),
            security_analyzer: analyzer.as_ref(),
            tags: projection.tags.as_ref().unwrap_or(&record.tags),
            hook_config: projection.other.get("hook_config").or(record.hook_config.as_ref()),
        }
    }
}

fn announced(projection: &Projection, key: &str, default: impl FnOnce() -> Value) -> Value {
    projection.other.get(key).cloned().unwrap_or_else(default)
}

/// The named secrets without their values: those that are set show the mask, or nothing at all.
fn registry(record: &ConversationRecord, with_mask: bool) -> Registry {
    let shown = |source: &SecretSource| match source.masked() {
        SecretSource::StaticSecret { description, .. } if !with_mask => {
            SecretSource::StaticSecret { description, value: None }
        }
        masked => masked,
    };
    Registry {
        secret_sources: record.secrets.iter().map(|(name, source)| (name.clone(), shown(source))).collect(),
    }
}
