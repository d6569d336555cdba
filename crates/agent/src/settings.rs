//! Changing what a conversation is set to.

use std::collections::BTreeMap;

use serde_json::Value;
use types::agent::LlmConfig;
use types::policy::{ConfirmationPolicy, SecurityAnalyzer};
use types::secrets::{MASK, map_secrets};

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
    let mut shown = serde_json::to_value(&agent.config).unwrap_or_default();
    map_secrets(&mut shown, &mut |_| MASK.into());
    mask_context_secrets(&mut shown);
    drop_nulls(&mut shown);
    agent.announce(draft, "agent", Some(shown));
    agent.register_models(draft);
}

/// `agent_context.secrets`: name to value, or to a source with its `value`.
fn mask_context_secrets(agent: &mut Value) {
    let secrets = agent.pointer_mut("/agent_context/secrets").and_then(Value::as_object_mut);
    for secret in secrets.into_iter().flat_map(|secrets| secrets.values_mut()) {
        let value = if secret.is_string() { Some(secret) } else { secret.get_mut("value") };
        if let Some(value) = value {
            *value = MASK.into();
        }
    }
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, field| !field.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
