//! From the peer's files to a record.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};
use uuid::Uuid;

use super::fields::{Fields, Odd};
use crate::agent::AgentConfig;
use crate::agent::document::take_context_secrets;
use crate::announced;
use crate::brought::Brought;
use crate::conversation::{ConversationRecord, Status, TITLE_CHARS, Titling, Workspace};
use crate::known_values::KnownValues;
use crate::policy::{ConfirmationPolicy, SecurityAnalyzer};
use crate::secrets::SecretSource;
use crate::time::bound_as_utc;
use crate::{ConversationId, SandboxId, TenantId};

const MAX_ITERATIONS: u64 = 500;

/// A conversation on its way in.
#[derive(Clone, Debug, PartialEq)]
pub struct Moved {
    /// Whether it stands before its first event, with others behind.
    pub head_is_empty: bool,
    /// Secrets as they are in the files. Its tenant and its sandbox are the default ones.
    pub record: ConversationRecord,
    pub brought: Brought,
    /// What does not mean here what it meant there, in words.
    pub notes: Vec<&'static str>,
}

/// Why files are no conversation. No value of theirs is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    NoObject(&'static str),
    Field { file: &'static str, field: &'static str },
    OfAnother,
}

impl std::error::Error for Unreadable {}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoObject(file) => write!(f, "{file} holds no JSON object"),
            Self::Field { file, field } => write!(f, "{file} has no {field} that can be read"),
            Self::OfAnother => f.write_str("its files are those of another conversation"),
        }
    }
}

const META: &str = "meta.json";
const STATE: &str = "base_state.json";

/// Reads the two files of the conversation `id`.
///
/// # Errors
/// Those without which there is no conversation: an agent, and where and when it was made.
pub fn read(id: ConversationId, meta: &str, state: &str) -> Result<Moved, Unreadable> {
    let mut meta = Fields::of(meta).map_err(|_| Unreadable::NoObject(META))?;
    let mut state = Fields::of(state).map_err(|_| Unreadable::NoObject(STATE))?;
    let named = [meta.take::<Uuid>("id"), state.take::<Uuid>("id")];
    if named.into_iter().flatten().any(|named| ConversationId(named) != id) {
        return Err(Unreadable::OfAnother);
    }
    let missing = |file, field| Unreadable::Field { file, field };
    let mut notes = Vec::new();

    let mut agent: Value = state.take("agent").ok_or(missing(STATE, "agent"))?;
    if !agent.is_object() {
        return Err(missing(STATE, "agent"));
    }
    let secrets = secrets(&mut meta, &mut state, &mut agent, &mut notes);
    let agent = complete(agent, &mut notes);
    let workspace: Option<Workspace> = meta.take("workspace");
    let workspace = state.take("workspace").or(workspace).ok_or(missing(META, "workspace"))?;
    let created_at = made_at(&mut meta).ok_or(missing(META, "created_at"))?;
    let policy = policy(&mut meta, &mut state, &mut notes);
    let analyzer = analyzer(&mut meta, &mut state, &mut notes);
    let launched = meta.take_if("launched_agent_profile").unwrap_or_default();
    let tags: Option<BTreeMap<String, String>> = meta.take("tags");
    let tags = state.take("tags").or(tags).unwrap_or_default();
    let max_iterations = either(&mut meta, &mut state, "max_iterations").unwrap_or(MAX_ITERATIONS);
    let stuck_detection = either(&mut meta, &mut state, "stuck_detection").unwrap_or(true);
    let title: Option<String> = meta.take("title");

    let record = ConversationRecord {
        id,
        tenant: TenantId::default(),
        sandbox: SandboxId::shared(),
        created_at,
        title: title.map(|title| title.chars().take(TITLE_CHARS).collect()),
        workspace,
        agent,
        max_iterations,
        stuck_detection,
        confirmation_policy: policy,
        security_analyzer: analyzer,
        secrets,
        past_secrets: KnownValues::default(),
        tags,
        tool_module_qualnames: meta.take("tool_module_qualnames").unwrap_or_default(),
        client_tools: meta.take("client_tools").unwrap_or_default(),
        hook_config: either(&mut meta, &mut state, "hook_config"),
        autotitle: meta.take("autotitle").unwrap_or(true),
        user_id: meta.take("user_id"),
        parent_conversation_id: meta.take("parent_conversation_id"),
        forked_from_conversation_id: meta.take("forked_from_conversation_id"),
        forked_from_event_id: meta.take("forked_from_event_id"),
        launched_agent_profile: launched,
        worktree: None,
        undelivered: None,
        refused: None,
        titling: Titling::default(),
    };
    let head_is_empty = state.take("head_is_empty").unwrap_or(false);
    let announced = announced(&mut state);
    let brought = Brought {
        status: state.take::<Status>("execution_status").unwrap_or_default(),
        last_user_message_id: state.take("last_user_message_id"),
        leaf_event_id: state.take("leaf_event_id"),
        stats: state.take("stats").unwrap_or_default(),
        announced,
        tools: Vec::new(),
        built_in_tools: Vec::new(),
        meta: without(meta, &["updated_at", "conversation_id"]),
        state: without(state, &["persistence_dir"]),
    };
    Ok(Moved { head_is_empty, record, brought, notes })
}

/// When a conversation was made, by its `meta.json`; `None` where that cannot be read.
#[must_use]
pub fn created_at(meta: &str) -> Option<String> {
    made_at(&mut Fields::of(meta).ok()?)
}

fn made_at(meta: &mut Fields) -> Option<String> {
    bound_as_utc(&meta.take::<String>("created_at")?)
}

/// What is now stands in the one file, and what was asked for in the other.
fn either<T: serde::de::DeserializeOwned>(meta: &mut Fields, state: &mut Fields, name: &str) -> Option<T> {
    let asked = meta.take(name);
    state.take(name).or(asked)
}

/// Also of an agent that does not run here: its history can be read.
fn complete(agent: Value, notes: &mut Vec<&'static str>) -> Value {
    let config = AgentConfig::from_client(agent.clone()).ok();
    match config.and_then(|config| serde_json::to_value(config).ok()) {
        Some(complete) => complete,
        None => {
            notes.push("its agent is of a kind that this server does not run: it can be read, and not go on");
            agent
        }
    }
}

/// The named secrets, wherever they stand.
fn secrets(
    meta: &mut Fields,
    state: &mut Fields,
    agent: &mut Value,
    notes: &mut Vec<&'static str>,
) -> BTreeMap<String, SecretSource> {
    let asked: Option<Map<String, Value>> = meta.take("secrets");
    let registry: Option<Map<String, Value>> = state.take("secret_registry");
    let kept = registry.and_then(|mut registry| registry.remove("secret_sources"));
    let kept = kept.and_then(|sources| match sources {
        Value::Object(sources) => Some(sources),
        _ => None,
    });
    let mut sources = BTreeMap::new();
    // What was asked for is what the conversation has, unless it keeps a list of its own.
    for (name, source) in take_context_secrets(agent).into_iter().chain(kept.or(asked).unwrap_or_default()) {
        match SecretSource::from_client(source) {
            Ok(source) => drop(sources.insert(name, source)),
            Err(_) => notes.push("a secret of it is of a kind that is not known here, and was left out"),
        }
    }
    sources
}

fn policy(meta: &mut Fields, state: &mut Fields, notes: &mut Vec<&'static str>) -> ConfirmationPolicy {
    let asked = meta.take_if("confirmation_policy");
    match (state.take_if("confirmation_policy"), asked) {
        (Ok(Some(policy)), _) | (Ok(None), Ok(Some(policy))) => policy,
        (Ok(None), Ok(None)) => ConfirmationPolicy::default(),
        // Nothing is to run unasked that would not have there.
        (Err(Odd), _) | (Ok(None), Err(Odd)) => {
            notes.push("its confirmation policy is not known here: it asks for everything");
            ConfirmationPolicy::AlwaysConfirm
        }
    }
}

fn analyzer(
    meta: &mut Fields,
    state: &mut Fields,
    notes: &mut Vec<&'static str>,
) -> Option<SecurityAnalyzer> {
    let asked = meta.take_if::<SecurityAnalyzer>("security_analyzer");
    match (state.take_if("security_analyzer"), asked) {
        (Ok(Some(analyzer)), _) => Some(analyzer),
        // The state leaves out what is null.
        (Ok(None), Ok(_)) => None,
        (Err(Odd), _) | (Ok(None), Err(Odd)) => {
            notes.push("its security analyzer is not known here: risks are unknown");
            None
        }
    }
}

fn announced(state: &mut Fields) -> Map<String, Value> {
    let keys = announced::KEYS.into_iter();
    keys.filter_map(|key| Some((key.to_owned(), state.take::<Value>(key)?))).collect()
}

/// What is made anew on the way out need not be kept.
fn without(fields: Fields, names: &[&str]) -> BTreeMap<String, String> {
    let mut rest = fields.rest();
    rest.retain(|name, _| !names.contains(&name.as_str()));
    rest
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn files() -> (ConversationId, Value, Value) {
        let id = ConversationId::random();
        let meta = json!({"id": id.hex(), "workspace": {"working_dir": "/w"}, "created_at": "2026-11-23T00:00:00Z",
            "updated_at": "2026-11-23T00:00:01Z", "title": null, "confirmation_policy": {"kind": "NeverConfirm"}});
        let state = json!({"id": id, "agent": {"kind": "Agent", "llm": {"model": "m"}}, "execution_status": "paused",
            "persistence_dir": "x"});
        (id, meta, state)
    }

    #[test]
    fn what_is_not_known_here_is_kept_as_it_was_written() {
        let (id, meta, state) = files();
        let meta = meta.to_string().replacen('{', "{\"from the future\": [1.0, 1e3], ", 1);
        let state = state.to_string().replacen('{', "{\"agent_state\": {\"n\": 10.00}, ", 1);
        let moved = read(id, &meta, &state).unwrap();
        assert_eq!(moved.brought.meta["from the future"], "[1.0,1e3]");
        assert_eq!(moved.brought.state["agent_state"], "{\"n\":10.00}");
        assert_eq!((moved.brought.meta.len(), moved.brought.state.len()), (1, 1), "{:?}", moved.brought);
        assert_eq!((moved.brought.status, moved.notes.len()), (Status::Paused, 0));
        assert_eq!(moved.record.created_at, "2026-11-23T00:00:00.000000Z");
        assert_eq!(moved.record.workspace.kind, "LocalWorkspace");
    }

    #[test]
    fn a_policy_that_is_not_known_asks_for_everything() {
        let (id, mut meta, mut state) = files();
        meta["confirmation_policy"] = json!({"kind": "FromTheFuture"});
        state["confirmation_policy"] = json!({"kind": "FromTheFuture"});
        state["security_analyzer"] = json!({"kind": "Other"});
        let moved = read(id, &meta.to_string(), &state.to_string()).unwrap();
        assert_eq!(moved.record.confirmation_policy, ConfirmationPolicy::AlwaysConfirm);
        assert_eq!(moved.brought.state["security_analyzer"], r#"{"kind":"Other"}"#);
        assert_eq!(moved.notes.len(), 2);
    }

    #[test]
    fn an_agent_that_does_not_run_here_can_be_read() {
        let (id, meta, mut state) = files();
        state["agent"] = json!({"kind": "ACPAgent", "acp_server": "x"});
        let moved = read(id, &meta.to_string(), &state.to_string()).unwrap();
        assert_eq!((&moved.record.agent, moved.notes.len()), (&state["agent"], 1));
    }

    #[test]
    fn what_is_no_conversation_is_told_without_a_value() {
        let (id, meta, state) = files();
        let told = |meta: &str, state: &str| read(id, meta, state).unwrap_err().to_string();
        assert_eq!(told("[1]", "{}"), "meta.json holds no JSON object");
        assert_eq!(
            told(&meta.to_string(), "{\"agent\": \"sk-secret\"}"),
            "base_state.json has no agent that can be read"
        );
        let other = ConversationId::random();
        assert_eq!(read(other, &meta.to_string(), &state.to_string()), Err(Unreadable::OfAnother));
        let mut undated = meta.clone();
        undated["created_at"] = json!("yesterday");
        assert_eq!(
            told(&undated.to_string(), &state.to_string()),
            "meta.json has no created_at that can be read"
        );
    }
}
