//! The parts of a chat body besides model, messages and tools.

use serde_json::{Map, Value, json};
use types::agent::LlmConfig;

use crate::options::{merge_extra_body, put_sampling};
use crate::provider::{LimitField, Provider};
use crate::traits::{Thinking, Traits};

/// Keys of the body that the user's extra body cannot replace.
const OWN_KEYS: [&str; 4] = ["model", "messages", "tools", "stream"];

pub(super) fn options(
    llm: &LlmConfig,
    provider: &Provider,
    traits: &Traits,
    session: &str,
    temperature: Option<f64>,
) -> Map<String, Value> {
    let mut options = Map::new();
    output_limit(llm, provider, traits, &mut options);
    reasoning(llm, provider, traits, &mut options);
    sampling(llm, provider, traits, temperature, &mut options);
    if traits.cache_key {
        options.insert("prompt_cache_key".to_owned(), session.into());
    }
    if provider.prefix == "openrouter" {
        options.insert("usage".to_owned(), json!({"include": true}));
    }
    merge_extra_body(llm, &OWN_KEYS, &mut options);
    options
}

fn output_limit(llm: &LlmConfig, provider: &Provider, traits: &Traits, options: &mut Map<String, Value>) {
    let fields: &[&str] = match provider.limit {
        LimitField::MaxTokens | LimitField::UserOnly => &["max_tokens"],
        LimitField::MaxCompletionTokens => &["max_completion_tokens"],
        LimitField::Both => &["max_completion_tokens", "max_tokens"],
    };
    let limit = match provider.limit {
        LimitField::UserOnly => llm.max_output_tokens,
        _ => traits.max_output,
    };
    if let Some(limit) = limit {
        options.extend(fields.iter().map(|field| ((*field).to_owned(), limit.into())));
    }
}

fn reasoning(llm: &LlmConfig, provider: &Provider, traits: &Traits, options: &mut Map<String, Value>) {
    if let Some(effort) = llm.reasoning_effort.as_ref().filter(|_| traits.reasoning_effort) {
        options.insert("reasoning_effort".to_owned(), effort.as_str().into());
    }
    if let Some(budget) = proxy_budget(llm, provider, traits) {
        options.insert("thinking".to_owned(), json!({"type": "enabled", "budget_tokens": budget}));
    }
    if provider.prefix == "deepseek" && llm.model.contains("reasoner") {
        options.insert("thinking".to_owned(), json!({"type": "enabled"}));
    }
}

/// A LiteLLM proxy takes Anthropic's thinking option in a chat body.
fn proxy_budget(llm: &LlmConfig, provider: &Provider, traits: &Traits) -> Option<u64> {
    let is_proxy = matches!(provider.prefix, "litellm_proxy" | "openhands");
    if !is_proxy || traits.thinking != Thinking::Manual {
        return None;
    }
    crate::anthropic::manual_budget(llm, traits.max_output?)
}

fn sampling(
    llm: &LlmConfig,
    provider: &Provider,
    traits: &Traits,
    temperature: Option<f64>,
    options: &mut Map<String, Value>,
) {
    if let Some(seed) = llm.seed {
        options.insert("seed".to_owned(), seed.into());
    }
    let takes_top_k = llm.base_url.is_some() || provider.prefix != "openai";
    let wanted =
        [("temperature", temperature), ("top_p", llm.top_p), ("top_k", llm.top_k.filter(|_| takes_top_k))];
    let thinks_manually = proxy_budget(llm, provider, traits).is_some();
    let refused = traits.sampling == Some(false) || thinks_manually;
    put_sampling(llm, refused, &wanted, options);
}
