//! The agent object of a conversation as text: made once, spliced into every answer.
//!
//! Most conversations have the agent of others, but for the secrets, which no text holds: those share one text. The skills of an agent
//! are by far the largest part of it, and most often those of other agents as well: they are a text of their own.

use std::borrow::Cow;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use types::agent::document::{clear_secret_fields, mask};

use super::interned::Interned;

/// An agent object without its secrets. Rendered at first use, for most conversations are only counted.
pub(super) struct AgentText {
    /// As stored, secrets sealed.
    stored: Parted,
    rendered: OnceLock<Arc<Rendered>>,
    model: OnceLock<Option<Box<str>>>,
    shared: SharedTexts,
}

/// Texts that conversations have, each once. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct SharedTexts(Arc<Shared>);

#[derive(Default)]
struct Shared {
    rendered: Interned<Rendered>,
    skills: Interned<List>,
}

/// The text of a list of skills, which may be long.
#[derive(PartialEq, Eq, Hash)]
struct List(Box<str>);

/// An agent object as text, with the list of its skills apart.
struct Parted {
    /// With an empty list in the place of the skills, where there are any.
    without: Box<RawValue>,
    skills: Option<Skills>,
}

#[derive(PartialEq, Eq, Hash)]
struct Skills {
    /// Where the empty list is.
    at: usize,
    list: Arc<List>,
}

/// Nulls present, secret fields null.
#[derive(PartialEq, Eq, Hash)]
struct Rendered(Parted);

#[derive(Deserialize)]
struct Agent<'a> {
    #[serde(borrow)]
    agent_context: Option<Context<'a>>,
}

#[derive(Deserialize)]
struct Context<'a> {
    #[serde(borrow)]
    skills: Option<&'a RawValue>,
}

impl Parted {
    fn of(whole: Box<RawValue>, shared: &SharedTexts) -> Self {
        let Some((at, list)) = skills_in(whole.get()) else { return Self { without: whole, skills: None } };
        let (before, rest) = whole.get().split_at(at);
        let (_, after) = rest.split_at(list.len());
        let without = RawValue::from_string(format!("{before}[]{after}"));
        let list = shared.0.skills.share(List(list.into()));
        match without {
            Ok(without) => Self { without, skills: Some(Skills { at, list }) },
            Err(_) => Self { without: whole, skills: None },
        }
    }

    fn whole(&self) -> Box<RawValue> {
        let Some(Skills { at, list }) = &self.skills else { return self.without.clone() };
        let List(list) = &**list;
        let (before, rest) = self.without.get().split_at(*at);
        let (_, after) = rest.split_at("[]".len());
        RawValue::from_string(format!("{before}{list}{after}")).unwrap_or_default()
    }
}

impl PartialEq for Parted {
    fn eq(&self, other: &Self) -> bool {
        self.without.get() == other.without.get() && self.skills == other.skills
    }
}

impl Eq for Parted {}

impl Hash for Parted {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.without.get(), &self.skills).hash(state);
    }
}

impl AgentText {
    pub(super) fn new(stored: Box<RawValue>, shared: SharedTexts) -> Self {
        let stored = Parted::of(stored, &shared);
        Self { stored, rendered: OnceLock::new(), model: OnceLock::new(), shared }
    }

    /// Of the same conversation, which has another agent now.
    pub(super) fn followed_by(&self, stored: Box<RawValue>) -> Self {
        Self::new(stored, self.shared.clone())
    }

    /// The form of `ConversationInfo`.
    pub(super) fn info(&self, include_skills: bool) -> Cow<'_, RawValue> {
        let make = || self.shared.0.rendered.share(Rendered(self.render()));
        let Rendered(rendered) = &**self.rendered.get_or_init(make);
        match include_skills && rendered.skills.is_some() {
            true => Cow::Owned(rendered.whole()),
            false => Cow::Borrowed(&rendered.without),
        }
    }

    /// The model that it calls, if it calls one by itself.
    pub(super) fn model(&self) -> Option<&str> {
        self.model.get_or_init(|| model(&self.stored.without)).as_deref()
    }

    /// The form of snapshots: secrets that are set are masked, the rest as stored.
    pub(super) fn masked(&self) -> Value {
        let mut agent: Value = serde_json::from_str(self.stored.whole().get()).unwrap_or_default();
        mask(&mut agent);
        agent
    }

    fn render(&self) -> Parted {
        let mut agent = self.masked();
        clear_secret_fields(&mut agent);
        // A `Value` always serializes.
        let whole = serde_json::value::to_raw_value(&agent).unwrap_or_default();
        Parted::of(whole, &self.shared)
    }
}

/// Where the skills of an agent begin in its text, and they.
fn skills_in(agent: &str) -> Option<(usize, &str)> {
    let skills = serde_json::from_str::<Agent<'_>>(agent).ok()?.agent_context?.skills?.get();
    let is_list = skills.starts_with('[') && skills.len() > "[]".len();
    is_list.then(|| (skills.as_ptr() as usize - agent.as_ptr() as usize, skills))
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use types::agent::document::drop_nulls;
    use types::secrets::MASK;

    fn raw(value: &Value) -> Box<RawValue> {
        serde_json::value::to_raw_value(value).unwrap()
    }

    fn text(agent: &Value) -> AgentText {
        AgentText::new(raw(agent), SharedTexts::default())
    }

    #[test]
    fn conversations_whose_agents_differ_in_secrets_alone_share_one_text() {
        let shared = SharedTexts::default();
        let agent = |model: &str, key: &str| {
            AgentText::new(raw(&json!({"llm": {"model": model, "api_key": key}})), shared.clone())
        };
        let at = |agent: &AgentText| agent.info(false).get().as_ptr();
        let (one, same, other) = (agent("a", "sealed"), agent("a", "otherwise"), agent("b", "sealed"));
        assert_eq!(at(&one), at(&same));
        assert_ne!(at(&one), at(&other));
        assert_eq!(other.info(false).get(), r#"{"llm":{"model":"b","api_key":null}}"#);
    }

    #[test]
    fn conversations_whose_agents_have_the_same_skills_keep_them_once() {
        const LISTS: usize = 100;
        let shared = SharedTexts::default();
        let agent = |model: &str, list: usize| {
            let skills = json!([{"name": list, "content": "c".repeat(2_000)}]);
            let whole = json!({"llm": {"model": model, "api_key": format!("sealed {model}")},
                "agent_context": {"skills": skills, "user": 1}, "kind": "Agent"});
            (AgentText::new(raw(&whole), shared.clone()), whole)
        };
        let kept = |parted: &Parted| parted.skills.as_ref().map(|skills| Arc::as_ptr(&skills.list));
        let of_each = |model: &str| (0..LISTS).map(|list| agent(model, list)).collect::<Vec<_>>();
        // As many tenants have lists of their own, whose conversations come in turn.
        let all: Vec<_> = ["x", "y", "z"].iter().flat_map(|model| of_each(model)).collect();
        for (index, (text, whole)) in all.iter().enumerate() {
            let first = kept(&all[index % LISTS].0.stored);
            assert!(first.is_some());
            let shown: Value = serde_json::from_str(text.info(true).get()).unwrap();
            assert_eq!(shown["agent_context"], whole["agent_context"]);
            assert_eq!(text.masked()["agent_context"], whole["agent_context"]);
            let rendered = &text.rendered.get().unwrap().0;
            assert_eq!((kept(&text.stored), kept(rendered)), (first, first));
            assert!(text.stored.without.get().len() + rendered.without.get().len() < 1_000);
        }
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
