//! The parts of the body besides model, system, messages and tools.

use serde_json::{Map, Value, json};
use types::agent::LlmConfig;

use crate::options::{merge_extra_body, put_sampling};
use crate::traits::{Thinking, Traits};

/// Output tokens where neither user nor table says more; the API demands a number.
const DEFAULT_OUTPUT_TOKENS: u64 = 4096;
/// The smallest thinking budget the API takes.
const LEAST_BUDGET: u64 = 1024;
/// Keys of the body that the user's extra body cannot replace.
const OWN_KEYS: [&str; 5] = ["model", "messages", "system", "tools", "stream"];

/// `may_think`: whether the history allows that thinking is asked for; a model that decides by itself takes any.
pub(super) fn options(
    llm: &LlmConfig,
    traits: &Traits,
    may_think: bool,
    temperature: Option<f64>,
) -> Map<String, Value> {
    let max_tokens = traits.max_output.unwrap_or(DEFAULT_OUTPUT_TOKENS);
    let mut options = Map::new();
    options.insert("max_tokens".to_owned(), max_tokens.into());
    let may_think = may_think || traits.thinking == Thinking::Adaptive;
    let thinking = thinking(llm, traits, max_tokens).filter(|_| may_think);
    let refused = thinking.is_some() || traits.sampling == Some(false);
    if let Some(thinking) = thinking {
        options.insert("thinking".to_owned(), thinking);
    }
    if let Some(effort) = adaptive_effort(llm, traits) {
        options.insert("output_config".to_owned(), json!({"effort": effort}));
    }
    let wanted = [("temperature", temperature), ("top_p", llm.top_p), ("top_k", llm.top_k)];
    put_sampling(llm, refused, &wanted, &mut options);
    merge_extra_body(llm, &OWN_KEYS, &mut options);
    options
}

/// Tokens of thinking a model with manual thinking gets; `None`: it does not think.
pub(crate) fn manual_budget(llm: &LlmConfig, max_tokens: u64) -> Option<u64> {
    let budget = llm.extended_thinking_budget?.min(max_tokens.saturating_sub(1));
    (budget >= LEAST_BUDGET).then_some(budget)
}

fn thinking(llm: &LlmConfig, traits: &Traits, max_tokens: u64) -> Option<Value> {
    let budget = match traits.thinking {
        Thinking::None => return None,
        Thinking::Adaptive => {
            return adaptive_effort(llm, traits)
                .map(|_| json!({"type": "adaptive", "display": "summarized"}));
        }
        Thinking::Manual => manual_budget(llm, max_tokens)?,
        Thinking::Budget => effort_budget(llm.reasoning_effort.as_deref()?)?.min(max_tokens.checked_sub(1)?),
    };
    (budget >= LEAST_BUDGET).then(|| json!({"type": "enabled", "budget_tokens": budget}))
}

fn adaptive_effort<'a>(llm: &'a LlmConfig, traits: &Traits) -> Option<&'a str> {
    let effort = llm.reasoning_effort.as_deref().filter(|_| traits.thinking == Thinking::Adaptive)?;
    match effort {
        "none" => None,
        "minimal" => Some("low"),
        other => Some(other),
    }
}

fn effort_budget(effort: &str) -> Option<u64> {
    match effort {
        "minimal" | "low" => Some(1024),
        "medium" => Some(2048),
        "high" | "xhigh" | "max" => Some(4096),
        _ => None,
    }
}
