//! From a record to the peer's files.

use std::collections::BTreeMap;

use serde_json::{Result, Value, json};

use super::fields::Object;
use crate::announced;
use crate::brought::Brought;
use crate::conversation::{ConversationRecord, Projection};

/// A conversation on its way out.
#[derive(Clone, Copy)]
pub struct Written<'a> {
    /// Secrets as they are to stand in the files.
    pub record: &'a ConversationRecord,
    pub projection: &'a Projection,
    /// What it was brought with, if it was brought here.
    pub brought: Option<&'a Brought>,
    /// Where its files will be.
    pub persistence_dir: &'a str,
    /// UTC with `Z`.
    pub updated_at: &'a str,
}

/// The two files of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// `meta.json`
    pub meta: String,
    /// `base_state.json`
    pub state: String,
}

/// # Errors
/// Never for what was stored here; the signature is that of the serializer.
pub fn write(conversation: &Written<'_>) -> Result<Files> {
    Ok(Files { meta: meta(conversation)?, state: state(conversation)? })
}

fn meta(conversation: &Written<'_>) -> Result<String> {
    let Written { record, brought, updated_at, .. } = conversation;
    let rest = brought.map(|brought| &brought.meta);
    let mut meta = Object::default();
    meta.field("workspace", &record.workspace)?;
    meta.field("conversation_id", &record.id)?;
    meta.field("parent_conversation_id", &record.parent_conversation_id)?;
    meta.raw("confirmation_policy", &policy(conversation, rest)?)?;
    meta.raw("security_analyzer", &analyzer(conversation, rest)?)?;
    meta.field("max_iterations", &record.max_iterations)?;
    meta.field("stuck_detection", &record.stuck_detection)?;
    meta.field("secrets", &record.secrets)?;
    meta.field("tool_module_qualnames", &record.tool_module_qualnames)?;
    meta.field("client_tools", &record.client_tools)?;
    meta.field("hook_config", &hooks(conversation))?;
    meta.field("tags", tags(conversation))?;
    meta.field("user_id", &record.user_id)?;
    meta.field("autotitle", &record.autotitle)?;
    meta.field("id", &record.id.hex())?;
    meta.field("title", &record.title)?;
    meta.field("created_at", &record.created_at)?;
    meta.field("updated_at", updated_at)?;
    meta.field("forked_from_conversation_id", &record.forked_from_conversation_id.map(|id| id.hex()))?;
    meta.field("forked_from_event_id", &record.forked_from_event_id)?;
    match (&record.launched_agent_profile, rest.and_then(|rest| rest.get("launched_agent_profile"))) {
        (None, Some(raw)) => meta.raw("launched_agent_profile", raw)?,
        (launched, _) => meta.field("launched_agent_profile", launched)?,
    }
    end(meta, rest, &["confirmation_policy", "security_analyzer", "launched_agent_profile"])
}

fn state(conversation: &Written<'_>) -> Result<String> {
    let Written { record, projection, brought, persistence_dir, .. } = conversation;
    let rest = brought.map(|brought| &brought.state);
    let mut state = Object::default();
    state.field("id", &record.id)?;
    state.field("agent", &with_all_tools(&record.agent, *brought))?;
    state.field("workspace", &record.workspace)?;
    state.field("persistence_dir", persistence_dir)?;
    state.field("max_iterations", &record.max_iterations)?;
    state.field("stuck_detection", &record.stuck_detection)?;
    state.field("execution_status", &projection.status)?;
    state.raw("confirmation_policy", &policy(conversation, rest)?)?;
    let analyzer = analyzer(conversation, rest)?;
    if analyzer != "null" {
        state.raw("security_analyzer", &analyzer)?;
    }
    for key in announced::KEYS.into_iter().filter(|key| *key != "hook_config") {
        if let Some(value) = projection.other.get(key) {
            state.field(key, value)?;
        }
    }
    state.some("hook_config", &hooks(conversation))?;
    state.some("last_user_message_id", &projection.last_user_message_id)?;
    state.some("leaf_event_id", &projection.leaf_event_id)?;
    state.field("head_is_empty", &projection.head_is_empty)?;
    state.field("stats", &projection.stats)?;
    state.field("secret_registry", &json!({"secret_sources": record.secrets}))?;
    state.field("tags", tags(conversation))?;
    end(state, rest, &["confirmation_policy", "security_analyzer"])
}

/// Also with those that were not there here.
fn with_all_tools(agent: &Value, brought: Option<&Brought>) -> Value {
    let mut agent = agent.clone();
    let Some(brought) = brought else { return agent };
    for (list, more) in [("tools", &brought.tools), ("include_default_tools", &brought.built_in_tools)] {
        if let Some(tools) = agent.get_mut(list).and_then(Value::as_array_mut) {
            let missing: Vec<Value> = more.iter().filter(|tool| !tools.contains(tool)).cloned().collect();
            tools.extend(missing);
        }
    }
    agent
}

fn end(mut object: Object, rest: Option<&BTreeMap<String, String>>, said: &[&str]) -> Result<String> {
    for (name, raw) in rest.into_iter().flatten().filter(|(name, _)| !said.contains(&name.as_str())) {
        object.raw(name, raw)?;
    }
    Ok(object.end())
}

/// As it is now; one that is not known here goes out as it came, unless it was changed here.
fn policy(conversation: &Written<'_>, rest: Option<&BTreeMap<String, String>>) -> Result<String> {
    let Written { record, projection, .. } = conversation;
    match (&projection.confirmation_policy, rest.and_then(|rest| rest.get("confirmation_policy"))) {
        (None, Some(raw)) => Ok(raw.clone()),
        (None, None) => serde_json::to_string(&record.confirmation_policy),
        (Some(changed), _) => serde_json::to_string(changed),
    }
}

fn analyzer(conversation: &Written<'_>, rest: Option<&BTreeMap<String, String>>) -> Result<String> {
    let Written { record, projection, .. } = conversation;
    match (&projection.security_analyzer, rest.and_then(|rest| rest.get("security_analyzer"))) {
        (None, Some(raw)) => Ok(raw.clone()),
        (None, None) => serde_json::to_string(&record.security_analyzer),
        (Some(changed), _) => serde_json::to_string(changed),
    }
}

fn hooks<'a>(conversation: &Written<'a>) -> Option<&'a Value> {
    conversation.projection.other.get("hook_config").or(conversation.record.hook_config.as_ref())
}

fn tags<'a>(conversation: &Written<'a>) -> &'a BTreeMap<String, String> {
    conversation.projection.tags.as_ref().unwrap_or(&conversation.record.tags)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::read;
    use super::*;
    use crate::log::{Control, LogRecord};
    use crate::policy::ConfirmationPolicy;
    use crate::{ConversationId, Seq};

    fn moved() -> super::super::Moved {
        let (id, [meta, state]) = given();
        read(id, &meta.to_string(), &state.to_string()).unwrap()
    }

    fn given() -> (ConversationId, [Value; 2]) {
        let id = ConversationId::random();
        let meta = json!({"id": id.hex(), "workspace": {"working_dir": "/w", "kind": "LocalWorkspace"}, "title": "t",
            "created_at": "2026-11-23T00:00:00.000001Z", "confirmation_policy": {"kind": "FromTheFuture", "x": 1},
            "tags": {"a": "b"}, "prompt": null, "added": {"deep": [1, 2]}});
        let state = json!({"id": id, "agent": {"kind": "Agent", "llm": {"model": "m"}}, "execution_status": "finished",
            "confirmation_policy": {"kind": "FromTheFuture", "x": 1}, "invoked_skills": ["s"], "agent_state": {"n": 1},
            "secret_registry": {"secret_sources": {"A": {"kind": "StaticSecret", "description": null, "value": "gAAAAA"}}}, "tags": {"a": "b"},
            "stats": {"usage_to_metrics": {"agent": {"model_name": "m", "accumulated_cost": 0.5}}}});
        (id, [meta, state])
    }

    fn projection(brought: &Brought) -> Projection {
        let mut projection = Projection::default();
        let said: LogRecord = LogRecord::Control(Control::Brought(Box::new(brought.clone())));
        projection.apply(Seq(1), &said);
        projection
    }

    #[test]
    fn what_came_in_goes_out_again() {
        let (id, [meta, state]) = given();
        let moved = read(id, &meta.to_string(), &state.to_string()).unwrap();
        let projection = projection(&moved.brought);
        let written = write(&Written {
            record: &moved.record,
            projection: &projection,
            brought: Some(&moved.brought),
            persistence_dir: "workspace/conversations/x",
            updated_at: "2026-11-23T00:00:02Z",
        });
        let files = written.unwrap();
        for (given, written) in [(&meta, &files.meta), (&state, &files.state)] {
            let written: Value = serde_json::from_str(written).unwrap();
            // An agent and what it cost are written out in full.
            let is_whole = |field: &String| !["agent", "stats"].contains(&field.as_str());
            for (field, value) in given.as_object().unwrap().iter().filter(|(field, _)| is_whole(field)) {
                assert_eq!(&written[field], value, "{field}");
            }
        }
        assert_eq!(read(moved.record.id, &files.meta, &files.state), Ok(moved));
    }

    #[test]
    fn tools_that_were_not_there_here_go_out_again() {
        let mut moved = moved();
        moved.brought.tools = vec![json!({"name": "of_the_future", "params": {}})];
        let projection = projection(&moved.brought);
        let written = Written {
            record: &moved.record,
            projection: &projection,
            brought: Some(&moved.brought),
            persistence_dir: "x",
            updated_at: "y",
        };
        let state: Value = serde_json::from_str(&write(&written).unwrap().state).unwrap();
        assert_eq!(state["agent"]["tools"], json!([{"name": "of_the_future", "params": {}}]));
    }

    #[test]
    fn what_was_changed_here_counts() {
        let moved = moved();
        let mut projection = projection(&moved.brought);
        projection.confirmation_policy = Some(ConfirmationPolicy::NeverConfirm);
        projection.tags = Some(BTreeMap::new());
        let written = Written {
            record: &moved.record,
            projection: &projection,
            brought: None,
            persistence_dir: "x",
            updated_at: "y",
        };
        let files = write(&written).unwrap();
        for file in [&files.meta, &files.state] {
            let file: Value = serde_json::from_str(file).unwrap();
            assert_eq!(file["confirmation_policy"], json!({"kind": "NeverConfirm"}));
            assert_eq!(file["tags"], json!({}));
        }
    }
}
