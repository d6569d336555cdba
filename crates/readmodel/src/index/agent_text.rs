//! The agent object of a conversation as text: made once, spliced into every answer.
//!
//! Most conversations have the agent of others, but for the secrets, which no text holds: those share one text.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use types::agent::document::{clear_secret_fields, mask};

/// An agent object without its secrets. Rendered at first use, for most conversations are only counted.
pub(super) struct AgentText {
    /// As stored, secrets sealed.
    stored: Box<RawValue>,
    rendered: OnceLock<Arc<Rendered>>,
    model: OnceLock<Option<Box<str>>>,
    shared: SharedTexts,
}

/// Texts that were made lately, each for as long as a conversation has it. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct SharedTexts(Arc<Mutex<VecDeque<Weak<Rendered>>>>);

/// Texts that are looked at for one that is the same.
const LATELY: usize = 16;

#[derive(PartialEq)]
struct Rendered {
    /// Nulls present, secret fields null, skills left out.
    info: Text,
    /// As `info` with the skills; only where there are any.
    with_skills: Option<Text>,
}

struct Text(Box<RawValue>);

impl PartialEq for Text {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

impl SharedTexts {
    /// The same text, if there was one lately.
    fn share(&self, made: Rendered) -> Arc<Rendered> {
        let mut lately = self.0.lock();
        lately.retain(|text| text.strong_count() > 0);
        if let Some(same) = lately.iter().filter_map(Weak::upgrade).find(|text| **text == made) {
            return same;
        }
        lately.truncate(LATELY - 1);
        let made = Arc::new(made);
        lately.push_front(Arc::downgrade(&made));
        made
    }
}

impl AgentText {
    pub(super) fn new(stored: Box<RawValue>, shared: SharedTexts) -> Self {
        Self { stored, rendered: OnceLock::new(), model: OnceLock::new(), shared }
    }

    /// Of the same conversation, which has another agent now.
    pub(super) fn followed_by(&self, stored: Box<RawValue>) -> Self {
        Self::new(stored, self.shared.clone())
    }

    /// The form of `ConversationInfo`.
    pub(super) fn info(&self, include_skills: bool) -> &RawValue {
        let rendered = self.rendered.get_or_init(|| self.shared.share(render(&self.stored)));
        match &rendered.with_skills {
            Some(whole) if include_skills => &whole.0,
            _ => &rendered.info.0,
        }
    }

    /// The model that it calls, if it calls one by itself.
    pub(super) fn model(&self) -> Option<&str> {
        self.model.get_or_init(|| model(&self.stored)).as_deref()
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

fn model(stored: &RawValue) -> Option<Box<str>> {
    #[derive(Deserialize)]
    struct Agent {
        llm: Llm,
    }
    #[derive(Deserialize)]
    struct Llm {
        model: Box<str>,
    }
    serde_json::from_str::<Agent>(stored.get()).ok().map(|agent| agent.llm.model)
}

fn is_empty_list(value: &Value) -> bool {
    value.as_array().is_none_or(Vec::is_empty)
}

fn raw(value: &Value) -> Text {
    // A `Value` always serializes.
    Text(serde_json::value::to_raw_value(value).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use types::agent::document::drop_nulls;
    use types::secrets::MASK;

    fn text(agent: &Value) -> AgentText {
        AgentText::new(raw(agent).0, SharedTexts::default())
    }

    #[test]
    fn conversations_whose_agents_differ_in_secrets_alone_share_one_text() {
        let shared = SharedTexts::default();
        let agent = |model: &str, key: &str| {
            AgentText::new(raw(&json!({"llm": {"model": model, "api_key": key}})).0, shared.clone())
        };
        let at = |agent: &AgentText| agent.info(false).get().as_ptr();
        let (one, same, other) = (agent("a", "sealed"), agent("a", "otherwise"), agent("b", "sealed"));
        assert_eq!(at(&one), at(&same));
        assert_ne!(at(&one), at(&other));
        assert_eq!(other.info(false).get(), r#"{"llm":{"model":"b","api_key":null}}"#);
        let many: Vec<_> = (0..2 * LATELY).map(|n| agent(&n.to_string(), "sealed")).collect();
        for agent in &many {
            agent.info(false);
        }
        assert_eq!(shared.0.lock().len(), LATELY);
        drop((one, same, other, many));
        agent("a", "sealed").info(false);
        assert_eq!(shared.0.lock().len(), 1, "nothing is kept that nobody has");
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
