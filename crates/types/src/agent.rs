//! The agent and model configuration a client sends, with the peer's defaults.
//!
//! The whole object is kept and given back; only what this server acts on is typed. Unknown fields ride
//! along in `extra`.

pub mod document;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// `agent.llm`. Secret fields (see [`document`]) hold plain text only between the gateway's vault
/// and the model client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LlmConfig {
    /// Provider prefix and name, e.g. `anthropic/claude-sonnet-4-5-20250929`.
    pub model: String,
    pub api_key: Option<String>,
    pub provider_connection_id: Option<String>,
    pub auth_type: String,
    pub subscription_vendor: Option<String>,
    pub base_url: Option<String>,
    pub api_version: Option<String>,
    pub aws_access_key_id: Option<String>,
    pub aws_secret_access_key: Option<String>,
    pub aws_session_token: Option<String>,
    pub aws_region_name: Option<String>,
    pub aws_profile_name: Option<String>,
    pub aws_role_name: Option<String>,
    pub aws_session_name: Option<String>,
    pub aws_bedrock_runtime_endpoint: Option<String>,
    pub openrouter_site_url: String,
    pub openrouter_app_name: String,
    /// Attempts, not repetitions; 0 counts as 1.
    pub num_retries: u32,
    pub retry_multiplier: f64,
    /// Seconds.
    pub retry_min_wait: f64,
    /// Seconds.
    pub retry_max_wait: f64,
    /// Seconds an attempt may take; none: no limit.
    pub timeout: Option<f64>,
    /// Seconds between two pieces of a stream.
    pub stream_idle_timeout: Option<f64>,
    pub max_message_chars: u64,
    pub temperature: Option<f64>,
    pub top_p: Option<f64>,
    pub top_k: Option<f64>,
    pub max_input_tokens: Option<u64>,
    pub max_output_tokens: Option<u64>,
    pub model_canonical_name: Option<String>,
    /// `auto`, `chat` or `responses`.
    pub api_mode: String,
    pub capability_overrides: Map<String, Value>,
    pub extra_headers: Option<Map<String, Value>>,
    pub input_cost_per_token: Option<f64>,
    pub output_cost_per_token: Option<f64>,
    pub ollama_base_url: Option<String>,
    pub stream: bool,
    pub drop_params: bool,
    pub disable_vision: Option<bool>,
    pub disable_stop_word: Option<bool>,
    pub caching_prompt: bool,
    pub log_completions: bool,
    pub log_completions_folder: String,
    pub custom_tokenizer: Option<String>,
    pub native_tool_calling: bool,
    pub force_string_serializer: Option<bool>,
    pub inline_image_urls: Option<bool>,
    pub reasoning_effort: Option<String>,
    pub reasoning_summary: Option<String>,
    pub enable_encrypted_reasoning: bool,
    pub prompt_cache_retention: Option<String>,
    pub extended_thinking_budget: Option<u64>,
    pub seed: Option<i64>,
    /// The key of this model's entry in `stats`.
    pub usage_id: String,
    pub litellm_extra_body: Map<String, Value>,
    pub is_subscription: bool,
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Default for LlmConfig {
    fn default() -> Self {
        Self {
            model: "gpt-5.6".to_owned(),
            api_key: None,
            provider_connection_id: None,
            auth_type: "api_key".to_owned(),
            subscription_vendor: None,
            base_url: None,
            api_version: None,
            aws_access_key_id: None,
            aws_secret_access_key: None,
            aws_session_token: None,
            aws_region_name: None,
            aws_profile_name: None,
            aws_role_name: None,
            aws_session_name: None,
            aws_bedrock_runtime_endpoint: None,
            openrouter_site_url: "https://docs.all-hands.dev/".to_owned(),
            openrouter_app_name: "OpenHands".to_owned(),
            num_retries: 5,
            retry_multiplier: 8.0,
            retry_min_wait: 8.0,
            retry_max_wait: 64.0,
            timeout: Some(300.0),
            stream_idle_timeout: Some(300.0),
            max_message_chars: 30_000,
            temperature: None,
            top_p: None,
            top_k: None,
            max_input_tokens: None,
            max_output_tokens: None,
            model_canonical_name: None,
            api_mode: "auto".to_owned(),
            capability_overrides: Map::new(),
            extra_headers: None,
            input_cost_per_token: None,
            output_cost_per_token: None,
            ollama_base_url: None,
            stream: false,
            drop_params: true,
            disable_vision: None,
            disable_stop_word: Some(false),
            caching_prompt: true,
            log_completions: false,
            log_completions_folder: "logs/completions".to_owned(),
            custom_tokenizer: None,
            native_tool_calling: true,
            force_string_serializer: None,
            inline_image_urls: None,
            reasoning_effort: Some("high".to_owned()),
            reasoning_summary: None,
            enable_encrypted_reasoning: true,
            prompt_cache_retention: Some("24h".to_owned()),
            extended_thinking_budget: Some(200_000),
            seed: None,
            usage_id: "default".to_owned(),
            litellm_extra_body: Map::new(),
            is_subscription: false,
            extra: Map::new(),
        }
    }
}

/// A tool the client asks for, by registry name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ToolSpec {
    pub name: String,
    #[serde(default)]
    pub params: Map<String, Value>,
}

/// `agent` of kind `Agent`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgentConfig {
    pub llm: LlmConfig,
    #[serde(default)]
    pub tools: Vec<ToolSpec>,
    #[serde(default)]
    pub mcp_config: Map<String, Value>,
    #[serde(default)]
    pub filter_tools_regex: Option<String>,
    /// Class names of built-in tools: `FinishTool`, `ThinkTool`.
    #[serde(default = "default_tools")]
    pub include_default_tools: Vec<String>,
    #[serde(default)]
    pub agent_context: Option<Value>,
    /// Replaces the built-in system prompt.
    #[serde(default)]
    pub system_prompt: Option<String>,
    #[serde(default = "prompt_file")]
    pub system_prompt_filename: String,
    #[serde(default = "policy_file")]
    pub security_policy_filename: Option<String>,
    #[serde(default = "prompt_kwargs")]
    pub system_prompt_kwargs: Map<String, Value>,
    #[serde(default)]
    pub condenser: Option<Value>,
    #[serde(default)]
    pub critic: Option<Value>,
    #[serde(default = "one")]
    pub tool_concurrency_limit: u32,
    #[serde(default = "agent_kind")]
    pub kind: String,
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

fn default_tools() -> Vec<String> {
    vec!["FinishTool".to_owned(), "ThinkTool".to_owned()]
}

fn prompt_file() -> String {
    "system_prompt.j2".to_owned()
}

fn policy_file() -> Option<String> {
    Some("security_policy.j2".to_owned())
}

fn prompt_kwargs() -> Map<String, Value> {
    Map::from_iter([("llm_security_analyzer".to_owned(), json!(true))])
}

fn one() -> u32 {
    1
}

fn agent_kind() -> String {
    "Agent".to_owned()
}

impl AgentConfig {
    /// Reads an agent object, puts in the defaults a client left out, here and in the condenser's model.
    ///
    /// # Errors
    /// A text that names the offending field, never its value.
    pub fn from_client(agent: Value) -> Result<Self, String> {
        let kind = agent.get("kind").and_then(Value::as_str).unwrap_or("Agent");
        if kind != "Agent" {
            return Err(format!("agents of kind '{kind}' are not supported by this server"));
        }
        if !agent.get("llm").is_some_and(Value::is_object) {
            return Err("agent.llm: an object is required".to_owned());
        }
        let mut config: Self =
            serde_json::from_value(agent).map_err(|_| "agent: a field has the wrong type".to_owned())?;
        if let Some(llm) = config.condenser.as_mut().and_then(|c| c.get_mut("llm")) {
            let full: LlmConfig = serde_json::from_value(llm.take())
                .map_err(|_| "agent.condenser.llm: a field has the wrong type".to_owned())?;
            *llm = serde_json::to_value(full)
                .map_err(|_| "agent.condenser.llm: cannot be written as JSON".to_owned())?;
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_fill_what_the_client_left_out() {
        let agent = json!({"llm": {"model": "openai/x"}, "condenser": {"kind": "LLMSummarizingCondenser", "llm": {"model": "openai/y"}}});
        let config = AgentConfig::from_client(agent).unwrap();
        assert_eq!(config.llm.num_retries, 5);
        assert_eq!(config.kind, "Agent");
        assert_eq!(config.condenser.unwrap()["llm"]["usage_id"], "default");
    }

    #[test]
    fn an_error_names_the_place_and_not_the_value() {
        let error = AgentConfig::from_client(json!({"llm": {"api_key": {"oops": "sk-secret"}}})).unwrap_err();
        assert!(!error.contains("sk-secret"), "{error}");
    }
}
