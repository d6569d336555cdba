//! Changing what a conversation is set to.

use std::collections::BTreeMap;

use types::agent::LlmConfig;
use types::agent::document::{drop_nulls, mask};
use types::policy::{ConfirmationPolicy, SecurityAnalyzer};

use crate::agent::Agent;
use crate::journal::Draft;

pub fn set_policy(agent: &mut Agent, draft: &mut Draft<'_>, policy: ConfirmationPolicy) {
    let value = serde_json::to_value(&policy).ok();
    agent.policy = policy;
    agent.announce(draft, "confirmation_policy", value);
}

pub fn set_analyzer(agent: &mut Agent, draft: &mut Draft<'_>, analyzer: Option<SecurityAnalyzer>) {
    let value = analyzer.as_ref().and_then(|analyzer| serde_json::to_value(analyzer).ok());
    agent.analyzer = analyzer;
    agent.announce(draft, "security_analyzer", value);
}

pub fn set_tags(agent: &mut Agent, draft: &mut Draft<'_>, tags: &BTreeMap<String, String>) {
    agent.announce(draft, "tags", serde_json::to_value(tags).ok());
}

/// The next model call goes to `llm`; a key that could not be had is not needed any more. Its secrets are masked in the announcement.
pub fn switch_llm(agent: &mut Agent, draft: &mut Draft<'_>, llm: LlmConfig, vision: bool) {
    agent.config.llm = llm;
    agent.copy.broken_secret = None;
    agent.vision = vision;
    announce_agent(agent, draft);
}

/// Says which model answers, where the log says otherwise: a switch was noted in the log and then not in the record, for one of the
/// two was cut off, or it is a copy that was made between them.
pub fn settle_model(agent: &mut Agent, draft: &mut Draft<'_>) {
    if agent.past.view.is_answered_by_another_than(&agent.config.llm) {
        announce_agent(agent, draft);
    }
}

fn announce_agent(agent: &mut Agent, draft: &mut Draft<'_>) {
    let mut shown = serde_json::to_value(&agent.config).unwrap_or_default();
    mask(&mut shown);
    drop_nulls(&mut shown);
    agent.announce(draft, "agent", Some(shown));
    agent.register_models(draft);
}
