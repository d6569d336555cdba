//! The agent object of a conversation as text: made once, spliced into every answer.

use std::sync::OnceLock;

use serde_json::Value;
use serde_json::value::RawValue;
use types::agent::document::{clear_secret_fields, mask};

/// An agent object without its secrets. Rendered at first use, for most conversations are only counted.
pub(super) struct AgentText {
    /// As stored, secrets sealed.
    stored: Box<RawValue>,
    rendered: OnceLock<Rendered>,
}

struct Rendered {
    /// Nulls present, secret fields null, skills left out.
    info: Box<RawValue>,
    /// As `info` with the skills; only where there are any.
    with_skills: Option<Box<RawValue>>,
}

impl AgentText {
    pub(super) fn new(stored: Box<RawValue>) -> Self {
        Self { stored, rendered: OnceLock::new() }
    }

    /// The form of `ConversationInfo`.
    pub(super) fn info(&self, include_skills: bool) -> &RawValue {
        let rendered = self.rendered.get_or_init(|| render(&self.stored));
        match &rendered.with_skills {
            Some(whole) if include_skills => whole,
            _ => &rendered.info,
        }
    }

    /// The form of snapshots: secrets that are set are masked, the rest as stored.
    pub(super) fn masked(&self) -> Value {
        let mut agent: Value = serde_json::from_str(self.stored.get()).unwrap_or_default();
        mask(&mut agent);
        agent
    }
}

fn render(stored: &RawValue) -> Rendered {
    let mut agent: Value = serde_json::from_str(stored.get()).unwrap_or_default();
    mask(&mut agent);
    clear_secret_fields(&mut agent);
    let skills = agent.pointer_mut("/agent_context/skills").filter(|skills| !is_empty_list(skills));
    let Some(skills) = skills else { return Rendered { info: raw(&agent), with_skills: None } };
    let kept = std::mem::replace(skills, Value::Array(Vec::new()));
    let info = raw(&agent);
    if let Some(place) = agent.pointer_mut("/agent_context/skills") {
        *place = kept;
    }
    Rendered { info, with_skills: Some(raw(&agent)) }
}

fn is_empty_list(value: &Value) -> bool {
    value.as_array().is_none_or(Vec::is_empty)
}

fn raw(value: &Value) -> Box<RawValue> {
    // A `Value` always serializes.
    serde_json::value::to_raw_value(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use types::agent::document::drop_nulls;
    use types::secrets::MASK;

    fn text(agent: &Value) -> AgentText {
        AgentText::new(raw(agent))
    }

    #[test]
    fn info_shows_no_secret_and_the_snapshot_shows_which_are_set() {
        let agent = text(&json!({"llm": {"api_key": "sealed", "aws_session_token": null}, "kind": "Agent"}));
        let info: Value = serde_json::from_str(agent.info(false).get()).unwrap();
        assert_eq!(info, json!({"llm": {"api_key": null, "aws_session_token": null}, "kind": "Agent"}));
        let mut snapshot = agent.masked();
        drop_nulls(&mut snapshot);
        assert_eq!(snapshot, json!({"llm": {"api_key": MASK}, "kind": "Agent"}));
    }

    #[test]
    fn values_in_maps_of_secrets_stay_texts() {
        let agent = text(&json!({"llm": {"extra_headers": {"X-Key": "sealed"}}}));
        assert_eq!(agent.info(false).get(), r#"{"llm":{"extra_headers":{"X-Key":"**********"}}}"#);
    }

    #[test]
    fn skills_show_only_when_asked_for() {
        let agent = text(&json!({"agent_context": {"skills": [{"name": "a"}], "user": null}}));
        assert_eq!(agent.info(false).get(), r#"{"agent_context":{"skills":[],"user":null}}"#);
        assert_eq!(agent.info(true).get(), r#"{"agent_context":{"skills":[{"name":"a"}],"user":null}}"#);
    }
}
