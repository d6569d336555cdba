//! The providers: what a model name's prefix means.

/// Which request and answer format a provider speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Chat,
    Responses,
    Anthropic,
}

/// How the key travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyHeader {
    Bearer,
    XApiKey,
    /// Azure's `api-key`, with the deployment in the path.
    ApiKey,
}

/// Which models are sent `reasoning_effort`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effort {
    Never,
    /// Those the table says take it.
    Known,
    /// Also models not in the table.
    AlsoUnknown,
}

/// The name of the output limit in a chat body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LimitField {
    MaxTokens,
    MaxCompletionTokens,
    Both,
    /// Only what the user set, as `max_tokens`.
    UserOnly,
}

#[derive(Debug)]
pub(crate) struct Provider {
    pub prefix: &'static str,
    /// For error texts.
    pub label: &'static str,
    pub dialect: Dialect,
    /// Where the API is unless the user says so; none: the user must say.
    pub base: Option<&'static str>,
    pub key: KeyHeader,
    pub limit: LimitField,
    pub effort: Effort,
    /// Takes `prompt_cache_key`.
    pub cache_key: bool,
    /// Content as one string instead of a list of blocks.
    pub string_content: bool,
}

const CHAT: Provider = Provider {
    prefix: "",
    label: "",
    dialect: Dialect::Chat,
    base: None,
    key: KeyHeader::Bearer,
    limit: LimitField::MaxTokens,
    effort: Effort::Never,
    cache_key: false,
    string_content: false,
};

/// A provider that speaks like OpenAI's chat completions, and needs no more than its address.
const fn alike(prefix: &'static str, label: &'static str, base: &'static str) -> Provider {
    Provider { prefix, label, base: Some(base), ..CHAT }
}

const PROVIDERS: &[Provider] = &[
    Provider {
        prefix: "openai",
        label: "OpenAI",
        base: Some("https://api.openai.com/v1"),
        limit: LimitField::MaxCompletionTokens,
        effort: Effort::AlsoUnknown,
        cache_key: true,
        ..CHAT
    },
    Provider {
        prefix: "anthropic",
        label: "Anthropic",
        dialect: Dialect::Anthropic,
        base: Some("https://api.anthropic.com"),
        key: KeyHeader::XApiKey,
        ..CHAT
    },
    Provider {
        prefix: "litellm_proxy",
        label: "LiteLLM proxy",
        limit: LimitField::Both,
        effort: Effort::AlsoUnknown,
        ..CHAT
    },
    Provider {
        prefix: "openhands",
        label: "OpenHands",
        base: Some("https://llm-proxy.app.all-hands.dev"),
        limit: LimitField::Both,
        effort: Effort::AlsoUnknown,
        ..CHAT
    },
    Provider {
        prefix: "openrouter",
        label: "OpenRouter",
        base: Some("https://openrouter.ai/api/v1"),
        limit: LimitField::MaxCompletionTokens,
        effort: Effort::Known,
        cache_key: true,
        ..CHAT
    },
    Provider {
        prefix: "deepseek",
        label: "DeepSeek",
        base: Some("https://api.deepseek.com"),
        limit: LimitField::MaxCompletionTokens,
        cache_key: true,
        string_content: true,
        ..CHAT
    },
    Provider {
        prefix: "moonshot",
        label: "Moonshot",
        base: Some("https://api.moonshot.ai/v1"),
        effort: Effort::Known,
        cache_key: true,
        string_content: true,
        ..CHAT
    },
    Provider {
        prefix: "azure",
        label: "Azure OpenAI",
        key: KeyHeader::ApiKey,
        effort: Effort::Known,
        cache_key: true,
        ..CHAT
    },
    Provider {
        prefix: "mistral",
        label: "Mistral",
        base: Some("https://api.mistral.ai/v1"),
        limit: LimitField::UserOnly,
        string_content: true,
        ..CHAT
    },
    Provider {
        prefix: "xai",
        label: "xAI",
        base: Some("https://api.x.ai/v1"),
        limit: LimitField::UserOnly,
        ..CHAT
    },
    Provider {
        prefix: "gemini",
        label: "Gemini",
        base: Some("https://generativelanguage.googleapis.com/v1beta/openai"),
        effort: Effort::Known,
        ..CHAT
    },
    alike("groq", "Groq", "https://api.groq.com/openai/v1"),
    alike("together_ai", "Together", "https://api.together.xyz/v1"),
    alike("fireworks_ai", "Fireworks", "https://api.fireworks.ai/inference/v1"),
    alike("digitalocean", "DigitalOcean", "https://inference.do-ai.run/v1"),
    alike("cerebras", "Cerebras", "https://api.cerebras.ai/v1"),
    alike("sambanova", "SambaNova", "https://api.sambanova.ai/v1"),
    alike("nvidia_nim", "NVIDIA", "https://integrate.api.nvidia.com/v1"),
    alike("deepinfra", "DeepInfra", "https://api.deepinfra.com/v1/openai"),
    alike("novita", "Novita", "https://api.novita.ai/v3/openai"),
    alike("nebius", "Nebius", "https://api.studio.nebius.ai/v1"),
    alike("hyperbolic", "Hyperbolic", "https://api.hyperbolic.xyz/v1"),
    alike("lambda_ai", "Lambda", "https://api.lambda.ai/v1"),
    alike("featherless_ai", "Featherless", "https://api.featherless.ai/v1"),
    alike("friendliai", "Friendli", "https://api.friendli.ai/serverless/v1"),
    alike("baseten", "Baseten", "https://inference.baseten.co/v1"),
    alike("wandb", "Weights & Biases", "https://api.inference.wandb.ai/v1"),
    alike("perplexity", "Perplexity", "https://api.perplexity.ai"),
    alike("ai21", "AI21", "https://api.ai21.com/studio/v1"),
    alike("codestral", "Mistral", "https://codestral.mistral.ai/v1"),
    alike("dashscope", "DashScope", "https://dashscope.aliyuncs.com/compatible-mode/v1"),
    alike("zai", "Z.AI", "https://api.z.ai/api/paas/v4"),
    alike("minimax", "MiniMax", "https://api.minimax.io/v1"),
    alike("volcengine", "Volcengine", "https://ark.cn-beijing.volces.com/api/v3"),
    alike("github", "GitHub Models", "https://models.inference.ai.azure.com"),
    alike("vercel_ai_gateway", "Vercel AI Gateway", "https://ai-gateway.vercel.sh/v1"),
    alike("v0", "v0", "https://api.v0.dev/v1"),
    alike("ollama", "Ollama", "http://localhost:11434/v1"),
    alike("ollama_chat", "Ollama", "http://localhost:11434/v1"),
    alike("lm_studio", "LM Studio", "http://localhost:1234/v1"),
    Provider { prefix: "vllm", label: "vLLM", ..CHAT },
    Provider { prefix: "hosted_vllm", label: "vLLM", ..CHAT },
];

/// Prefixes whose own protocol is not spoken here; they must not pass for names of chat models.
const FOREIGN: &[&str] =
    &["bedrock", "vertex_ai", "vertex_ai_beta", "sagemaker", "watsonx", "cohere", "replicate"];

/// The provider of a model name, and the name to send; `None`: it cannot be told.
///
/// A name without a known prefix is Anthropic's if it begins with `claude`, else it is taken for an OpenAI
/// chat model; with an unknown prefix only where `has_base_url`, so that no key goes to the wrong place.
pub(crate) fn of(model: &str, has_base_url: bool) -> Option<(&'static Provider, &str)> {
    let Some((prefix, rest)) = model.split_once('/') else {
        return named(if model.starts_with("claude") { "anthropic" } else { "openai" }).map(|p| (p, model));
    };
    if let Some(provider) = named(prefix) {
        return Some((provider, rest));
    }
    if FOREIGN.contains(&prefix) || !has_base_url {
        return None;
    }
    named("openai").map(|provider| (provider, model))
}

fn named(prefix: &str) -> Option<&'static Provider> {
    PROVIDERS.iter().find(|provider| provider.prefix == prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(model: &str, has_base_url: bool) -> Option<(&str, &str)> {
        of(model, has_base_url).map(|(provider, name)| (provider.prefix, name))
    }

    #[test]
    fn the_prefix_names_the_provider_and_is_cut() {
        assert_eq!(told("openai/gpt-4o", false), Some(("openai", "gpt-4o")));
        assert_eq!(told("openrouter/anthropic/x", false), Some(("openrouter", "anthropic/x")));
    }

    #[test]
    fn a_name_without_prefix_is_guessed() {
        assert_eq!(told("claude-sonnet-4-5", false), Some(("anthropic", "claude-sonnet-4-5")));
        assert_eq!(told("gpt-5.6", false), Some(("openai", "gpt-5.6")));
    }

    #[test]
    fn an_unknown_prefix_needs_a_base_url() {
        assert_eq!(told("meta/llama", true), Some(("openai", "meta/llama")));
        assert_eq!(told("meta/llama", false), None);
        assert_eq!(told("cerebras/llama-4", false), Some(("cerebras", "llama-4")));
        assert_eq!(told("bedrock/claude", true), None);
    }
}
