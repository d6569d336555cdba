//! What a model can do and wants, decided once per call: overrides of the user first, then the table of
//! models, then the lists below (substrings of the lower-case name).

use serde_json::Value;
use types::agent::LlmConfig;

use crate::catalog::{self, Known};
use crate::provider::{Effort, Provider};

const RESENDS_REASONING: &[&str] = &[
    "kimi-k3",
    "kimi-k2-thinking",
    "kimi-k2.5",
    "kimi-k2.6",
    "openrouter/minimax-m2",
    "deepseek/deepseek-reasoner",
    "deepseek/deepseek-v4-pro",
    "deepseek/deepseek-v4-flash",
    "deepseek/deepseek-v4.1-flash",
];
const WANTS_STRINGS: &[&str] = &["deepseek-v3.2", "glm", "groq/kimi-k2-instruct", "openrouter/minimax"];
const WANTS_CACHE_MARKERS: &[&str] = &[
    "claude-3-7-sonnet",
    "claude-sonnet-3-7-latest",
    "claude-3-5-sonnet",
    "claude-3-5-haiku",
    "claude-3-haiku-20240307",
    "claude-3-opus-20240229",
    "claude-sonnet-4",
    "claude-opus-4",
    "claude-haiku-4-5",
    "claude-haiku-5-5",
    "claude-opus-5",
    "claude-sonnet-5",
    "claude-fable-5",
];
const TAKES_NO_STOP_WORDS: &[&str] = &[
    "o1",
    "o3",
    "o4-mini",
    "gpt-5",
    "gpt-6",
    "grok-4-0709",
    "grok-code-fast-1",
    "deepseek-r1-0528",
    "openai.gpt-",
];
const MANUAL_THINKING: &[&str] = &["claude-sonnet-4-5", "claude-sonnet-4-6", "claude-haiku-4-5"];
const BUDGET_THINKING: &[&str] =
    &["claude-opus-4-5", "claude-opus-4-1", "claude-opus-4-2", "claude-sonnet-4-2", "claude-3-7-sonnet"];
const ADAPTIVE_THINKING: &[&str] = &[
    "claude-opus-4-6",
    "claude-opus-4-7",
    "claude-opus-4-8",
    "claude-opus-5",
    "claude-sonnet-5",
    "claude-haiku-5",
    "claude-fable-5",
    "claude-mythos-5",
];
const LONG_OUTPUT: &[&str] = &["claude-3-7-sonnet", "claude-sonnet-4", "kimi-k2-thinking"];

/// Output tokens of the models of [`LONG_OUTPUT`].
const LONG_OUTPUT_TOKENS: u64 = 64_000;
/// Most output tokens asked of a server the user names, unless the user says more.
const CUSTOM_SERVER_OUTPUT_TOKENS: u64 = 16_384;

/// How a Claude model is told to think.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Thinking {
    None,
    /// With the user's budget in tokens.
    Manual,
    /// With a budget derived from the effort.
    Budget,
    /// The model decides; the effort is passed on.
    Adaptive,
}

#[derive(Clone, Debug)]
pub(crate) struct Traits {
    pub known: Option<Known>,
    pub thinking: Thinking,
    pub reasoning_effort: bool,
    /// `None`: not known.
    pub sampling: Option<bool>,
    pub cache_markers: bool,
    pub cache_key: bool,
    pub resends_reasoning: bool,
    pub string_content: bool,
    /// Takes words at which it is stopped.
    pub stop_words: bool,
    pub vision: bool,
    /// Tokens to ask for; `None`: leave it to the provider.
    pub max_output: Option<u64>,
}

impl Traits {
    pub(crate) fn of(llm: &LlmConfig, provider: &Provider) -> Self {
        let model = llm.model_canonical_name.as_deref().unwrap_or(&llm.model).to_ascii_lowercase();
        let name = catalog::bare_name(&model);
        let on_list = |list: &[&str]| list.iter().any(|part| model.contains(part) || name.contains(part));
        let known = catalog::find(&model);
        let forced = |key: &str| llm.capability_overrides.get(key).and_then(Value::as_bool);
        let caching = forced("supports_prompt_cache").unwrap_or_else(|| on_list(WANTS_CACHE_MARKERS));
        let effort = match provider.effort {
            Effort::Never => false,
            Effort::Known => known.is_some_and(|known| known.reasoning_effort),
            Effort::AlsoUnknown => known.is_none_or(|known| known.reasoning_effort),
        };
        Self {
            thinking: forced_thinking(llm).unwrap_or_else(|| thinking(on_list)),
            reasoning_effort: forced("supports_reasoning_effort").unwrap_or(effort),
            sampling: forced("supports_sampling_params")
                .or_else(|| known.map(|known| !known.refuses_sampling)),
            cache_markers: llm.caching_prompt && caching,
            cache_key: forced("supports_prompt_cache_key").unwrap_or(provider.cache_key),
            resends_reasoning: forced("send_reasoning_content").unwrap_or_else(|| on_list(RESENDS_REASONING)),
            string_content: llm
                .force_string_serializer
                .or_else(|| forced("force_string_serializer"))
                .unwrap_or_else(|| provider.string_content || on_list(WANTS_STRINGS)),
            stop_words: forced("supports_stop_words").unwrap_or_else(|| !on_list(TAKES_NO_STOP_WORDS)),
            vision: supports_vision(llm),
            max_output: llm.max_output_tokens.or_else(|| {
                if on_list(LONG_OUTPUT) {
                    return Some(LONG_OUTPUT_TOKENS);
                }
                known.map(|known| usual_output(known, llm, provider))
            }),
            known,
        }
    }
}

/// Whether images may be sent to this model. Models that are not known take none.
#[must_use]
pub fn supports_vision(llm: &LlmConfig) -> bool {
    if llm.disable_vision == Some(true) {
        return false;
    }
    let forced = llm.capability_overrides.get("supports_vision").and_then(Value::as_bool);
    let model = llm.model_canonical_name.as_deref().unwrap_or(&llm.model);
    forced.unwrap_or_else(|| catalog::find(model).is_some_and(|known| known.vision))
}

fn thinking(on_list: impl Fn(&[&str]) -> bool) -> Thinking {
    if on_list(MANUAL_THINKING) {
        Thinking::Manual
    } else if on_list(ADAPTIVE_THINKING) {
        Thinking::Adaptive
    } else if on_list(BUDGET_THINKING) {
        Thinking::Budget
    } else {
        Thinking::None
    }
}

fn forced_thinking(llm: &LlmConfig) -> Option<Thinking> {
    match llm.capability_overrides.get("thinking_mode")?.as_str()? {
        "manual" => Some(Thinking::Manual),
        "adaptive" => Some(Thinking::Adaptive),
        "none" => Some(Thinking::None),
        _ => None,
    }
}

fn usual_output(known: Known, llm: &LlmConfig, provider: &Provider) -> u64 {
    let most = if known.output >= known.context { known.output / 2 } else { known.output };
    let is_custom = llm.base_url.is_some() && !matches!(provider.prefix, "litellm_proxy" | "openhands");
    if is_custom { most.min(CUSTOM_SERVER_OUTPUT_TOKENS) } else { most }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::provider;

    fn traits(llm: &LlmConfig) -> Traits {
        let (provider, _) = provider::of(&llm.model, llm.base_url.is_some()).unwrap();
        Traits::of(llm, provider)
    }

    fn model(name: &str) -> LlmConfig {
        LlmConfig { model: name.to_owned(), base_url: Some("http://h/v1".to_owned()), ..LlmConfig::default() }
    }

    #[test]
    fn the_output_limit_follows_user_list_table_and_server() {
        assert_eq!(traits(&model("openai/gpt-4o")).max_output, Some(16_384));
        assert_eq!(traits(&model("anthropic/claude-opus-4-8")).max_output, Some(16_384));
        assert_eq!(traits(&model("litellm_proxy/gpt-5.2")).max_output, Some(128_000));
        assert_eq!(traits(&model("openrouter/anthropic/claude-sonnet-4.5")).max_output, Some(64_000));
        assert_eq!(traits(&model("openai/my-model")).max_output, None);
        let own = LlmConfig { max_output_tokens: Some(7), ..model("openai/gpt-4o") };
        assert_eq!(traits(&own).max_output, Some(7));
        let vendor = LlmConfig { base_url: None, ..model("gpt-5.2") };
        assert_eq!(traits(&vendor).max_output, Some(128_000));
        assert_eq!(traits(&model("openai/kimi-k3")).max_output, Some(16_384));
    }

    #[test]
    fn each_claude_thinks_its_own_way() {
        for (name, expected) in [
            ("anthropic/claude-sonnet-4-5-20250929", Thinking::Manual),
            ("anthropic/claude-opus-4-5-20251101", Thinking::Budget),
            ("anthropic/claude-sonnet-5", Thinking::Adaptive),
            ("anthropic/claude-opus-4-8", Thinking::Adaptive),
            ("anthropic/claude-3-5-sonnet-20241022", Thinking::None),
        ] {
            assert_eq!(traits(&model(name)).thinking, expected, "{name}");
        }
    }

    #[test]
    fn vision_is_only_assumed_where_it_is_known() {
        assert!(supports_vision(&model("openai/gpt-4o")));
        assert!(!supports_vision(&model("openai/scripted")));
        assert!(!supports_vision(&LlmConfig { disable_vision: Some(true), ..model("openai/gpt-4o") }));
        let forced = json!({"supports_vision": true}).as_object().unwrap().clone();
        assert!(supports_vision(&LlmConfig { capability_overrides: forced, ..model("openai/scripted") }));
    }

    #[test]
    fn an_override_beats_the_lists() {
        let forced = json!({"supports_reasoning_effort": false, "thinking_mode": "none"});
        let llm = LlmConfig {
            capability_overrides: forced.as_object().unwrap().clone(),
            ..model("openai/my-model")
        };
        assert!(traits(&model("openai/my-model")).reasoning_effort);
        assert!(!traits(&llm).reasoning_effort);
    }
}
