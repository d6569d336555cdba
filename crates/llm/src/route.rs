//! Where a call goes: provider, model name to send, URL and headers.

use http::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue};
use outbound::MOST_HEADERS;
use reqwest::Url;
use serde_json::Value;
use types::agent::LlmConfig;

use crate::problem::Problem;
use crate::provider::{self, Dialect, KeyHeader, Provider};
use crate::traits::{Thinking, Traits};

const ANTHROPIC_VERSION: &str = "2023-06-01";
const AZURE_VERSION: &str = "2024-12-01-preview";
const OPENAI_HOST: &str = "api.openai.com";
const RESPONSES_MODELS: [&str; 3] = ["gpt-5", "gpt-6", "codex-mini-latest"];
const BETA: &str = "anthropic-beta";
/// Its value for models that are told to think between tool calls.
const INTERLEAVED_THINKING: &str = "interleaved-thinking-2025-05-14";
/// Names the conversation: gateways of models group calls by it, and so does our own broker.
pub(crate) const SESSION_HEADER: HeaderName = HeaderName::from_static("x-litellm-session-id");
const AGENT: &str = concat!("manyhands/", env!("CARGO_PKG_VERSION"));

pub(crate) struct Route {
    pub provider: &'static Provider,
    pub dialect: Dialect,
    /// The name without the provider's prefix.
    pub model: String,
    pub url: Url,
    /// The provider or server at the beginning of a sentence.
    pub label: String,
}

impl Route {
    pub(crate) fn of(llm: &LlmConfig) -> Result<Self, Problem> {
        let base = llm.base_url.as_deref().map(str::trim).filter(|url| !url.is_empty());
        let Some((provider, model)) = provider::of(&llm.model, base.is_some()) else {
            return Err(Problem::config(format!(
                "LLM provider not provided: the model name '{}' has no prefix this server knows (such as \
                 openai/, anthropic/, litellm_proxy/ or openrouter/).",
                llm.model
            )));
        };
        let dialect = dialect(llm, provider, model, base)?;
        let Some(from) = base.or(provider.base) else {
            return Err(Problem::config(format!("Models of {} need a base_url.", provider.label)));
        };
        let url = endpoint(provider, dialect, from, model, llm.api_version.as_deref())?;
        let label = match base.and_then(|_| url.host_str()) {
            Some(host) => match url.port() {
                Some(port) => format!("The model server at {host}:{port}"),
                None => format!("The model server at {host}"),
            },
            None => provider.label.to_owned(),
        };
        Ok(Self { provider, dialect, model: model.to_owned(), url, label })
    }

    /// All headers of a call; those that may hold a secret are marked sensitive.
    pub(crate) fn headers(
        &self,
        llm: &LlmConfig,
        traits: &Traits,
        session: &str,
    ) -> Result<HeaderMap, Problem> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        for (name, value) in [
            (HeaderName::from_static("http-referer"), llm.openrouter_site_url.as_str()),
            (HeaderName::from_static("x-title"), llm.openrouter_app_name.as_str()),
            (SESSION_HEADER, session),
        ] {
            if let Some(value) = HeaderValue::from_str(value).ok().filter(|value| !value.is_empty()) {
                headers.insert(name, value);
            }
        }
        if let Some(key) = llm.api_key.as_deref().map(str::trim).filter(|key| !key.is_empty()) {
            let (name, value) = key_header(self.provider.key, key)?;
            headers.insert(name, value);
        }
        if self.dialect == Dialect::Anthropic {
            headers.insert("anthropic-version", HeaderValue::from_static(ANTHROPIC_VERSION));
        }
        for (name, value) in llm.extra_headers.iter().flatten() {
            if headers.len() >= MOST_HEADERS {
                return Err(Problem::config("The model has too many extra_headers."));
            }
            let (name, value) = extra_header(name, value)?;
            headers.insert(name, value);
        }
        if traits.thinking == Thinking::Manual && self.takes_thinking() {
            add_beta(&mut headers);
        }
        Ok(headers)
    }

    fn takes_thinking(&self) -> bool {
        matches!(self.provider.prefix, "anthropic" | "litellm_proxy" | "openhands")
    }
}

/// Which dialect to speak. Without an `api_mode` that is chat, except for models of OpenAI's own server which
/// take tools and a reasoning effort over the responses API only.
fn dialect(
    llm: &LlmConfig,
    provider: &Provider,
    model: &str,
    base: Option<&str>,
) -> Result<Dialect, Problem> {
    let speaks_openai = provider.dialect == Dialect::Chat && provider.key == KeyHeader::Bearer;
    if llm.api_mode == "responses" {
        return speaks_openai.then_some(Dialect::Responses).ok_or_else(|| {
            Problem::config(format!(
                "The api_mode 'responses' does not fit the models of {}.",
                provider.label
            ))
        });
    }
    let is_openai = provider.prefix == "openai" && base.is_none_or(|base| base.contains(OPENAI_HOST));
    let wants_responses = RESPONSES_MODELS.iter().any(|part| model.contains(part));
    if llm.api_mode == "auto" && is_openai && wants_responses {
        return Ok(Dialect::Responses);
    }
    Ok(provider.dialect)
}

fn endpoint(
    provider: &Provider,
    dialect: Dialect,
    base: &str,
    model: &str,
    api_version: Option<&str>,
) -> Result<Url, Problem> {
    let no_url = || Problem::config("The model's base_url must be an http or https URL.");
    let mut url = Url::parse(base).map_err(|_| no_url())?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(no_url());
    }
    let path = url.path().trim_end_matches('/').to_owned();
    let is_openai_root = url.host_str() == Some(OPENAI_HOST) && path.is_empty();
    let root = if is_openai_root { "/v1" } else { path.as_str() };
    let path = match (dialect, provider.key) {
        (Dialect::Anthropic, _) => {
            let root = root.strip_suffix("/messages").unwrap_or(root);
            format!("{}/v1/messages", root.strip_suffix("/v1").unwrap_or(root))
        }
        (Dialect::Chat, KeyHeader::ApiKey) => {
            url.query_pairs_mut().append_pair("api-version", api_version.unwrap_or(AZURE_VERSION));
            format!("{root}/openai/deployments/{model}/chat/completions")
        }
        (Dialect::Chat, _) => {
            format!("{}/chat/completions", root.strip_suffix("/chat/completions").unwrap_or(root))
        }
        (Dialect::Responses, _) => format!("{}/responses", root.strip_suffix("/responses").unwrap_or(root)),
    };
    url.set_path(&path);
    Ok(url)
}

fn key_header(kind: KeyHeader, key: &str) -> Result<(HeaderName, HeaderValue), Problem> {
    let (name, text) = match kind {
        KeyHeader::Bearer => (AUTHORIZATION, format!("Bearer {key}")),
        KeyHeader::XApiKey => (HeaderName::from_static("x-api-key"), key.to_owned()),
        KeyHeader::ApiKey => (HeaderName::from_static("api-key"), key.to_owned()),
    };
    let value = HeaderValue::from_str(&text)
        .map_err(|_| Problem::config("The model's api_key has characters that no key has."))?;
    Ok((name, sensitive(value)))
}

fn extra_header(name: &str, value: &Value) -> Result<(HeaderName, HeaderValue), Problem> {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let parsed = HeaderName::from_bytes(name.as_bytes()).ok().zip(HeaderValue::from_str(&text).ok());
    let (name, value) =
        parsed.ok_or_else(|| Problem::config(format!("extra_headers: '{name}' is no valid header.")))?;
    Ok((name, sensitive(value)))
}

fn sensitive(mut value: HeaderValue) -> HeaderValue {
    value.set_sensitive(true);
    value
}

/// Beside what the user asks for in the same header.
fn add_beta(headers: &mut HeaderMap) {
    let users = headers.get(BETA).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if users.contains(INTERLEAVED_THINKING) {
        return;
    }
    let joined = [users, INTERLEAVED_THINKING].map(str::trim).join(",");
    if let Ok(value) = HeaderValue::from_str(joined.trim_start_matches(',')) {
        headers.insert(BETA, value);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn llm(model: &str, base_url: &str) -> LlmConfig {
        let base_url = Some(base_url.to_owned()).filter(|url| !url.is_empty());
        LlmConfig { model: model.to_owned(), base_url, ..LlmConfig::default() }
    }

    fn url(model: &str, base_url: &str) -> String {
        Route::of(&llm(model, base_url)).unwrap().url.to_string()
    }

    fn headers(llm: &LlmConfig) -> HeaderMap {
        let route = Route::of(llm).unwrap();
        route.headers(llm, &Traits::of(llm, route.provider), "session").unwrap()
    }

    #[test]
    fn every_provider_has_its_endpoint() {
        for (model, base, expected) in [
            ("openai/gpt-4o", "", "https://api.openai.com/v1/chat/completions"),
            ("openai/gpt-4o", "https://api.openai.com", "https://api.openai.com/v1/chat/completions"),
            ("openai/x", "http://h:1/v1/", "http://h:1/v1/chat/completions"),
            ("openai/x", "http://h:1/v1/chat/completions", "http://h:1/v1/chat/completions"),
            ("claude-x", "", "https://api.anthropic.com/v1/messages"),
            ("anthropic/x", "http://h/a/v1/messages", "http://h/a/v1/messages"),
            ("litellm_proxy/x", "http://h", "http://h/chat/completions"),
            ("openrouter/a/x", "", "https://openrouter.ai/api/v1/chat/completions"),
            ("gpt-5.6", "", "https://api.openai.com/v1/responses"),
            ("openai/gpt-5.6", "http://h/v1", "http://h/v1/chat/completions"),
            (
                "azure/gpt-4o",
                "https://h",
                "https://h/openai/deployments/gpt-4o/chat/completions?api-version=2024-12-01-preview",
            ),
        ] {
            assert_eq!(url(model, base), expected);
        }
    }

    #[test]
    fn both_base_url_forms_reach_v1_messages() {
        for base in ["http://h:1", "http://h:1/", "http://h:1/v1", "http://h:1/v1/"] {
            assert_eq!(url("anthropic/claude-sonnet-4-5-20250929", base), "http://h:1/v1/messages");
        }
    }

    #[test]
    fn the_api_mode_decides_the_dialect() {
        let mode = |mode: &str, model: &str, base: &str| {
            let llm = LlmConfig { api_mode: mode.to_owned(), ..llm(model, base) };
            Route::of(&llm).map(|route| route.url.to_string()).map_err(drop)
        };
        assert_eq!(mode("responses", "openai/x", "http://h/v1").unwrap(), "http://h/v1/responses");
        assert_eq!(mode("chat", "gpt-5.6", "").unwrap(), "https://api.openai.com/v1/chat/completions");
        assert!(mode("responses", "anthropic/claude-x", "").is_err());
    }

    #[test]
    fn a_base_url_that_is_not_http_is_refused() {
        for base in ["file:///etc/passwd", "ftp://h/v1", "h:80", "not a url"] {
            assert!(Route::of(&llm("openai/x", base)).is_err(), "{base}");
        }
    }

    #[test]
    fn users_headers_win_and_betas_add_up() {
        let extra = json!({"X-Title": "mine", "anthropic-beta": "context-1m-2025-08-07", "X-Number": 1});
        let llm = LlmConfig {
            extra_headers: extra.as_object().cloned(),
            api_key: Some("key-1".to_owned()),
            ..llm("anthropic/claude-sonnet-4-5", "")
        };
        let headers = headers(&llm);
        assert_eq!(headers["x-title"], "mine");
        assert_eq!(headers["anthropic-beta"], "context-1m-2025-08-07,interleaved-thinking-2025-05-14");
        assert_eq!(headers["x-number"], "1");
        assert_eq!(headers["x-api-key"], "key-1");
        assert_eq!(headers["anthropic-version"], ANTHROPIC_VERSION);
        assert_eq!(headers["x-litellm-session-id"], "session");
    }

    #[test]
    fn an_empty_attribution_is_not_sent() {
        let llm = LlmConfig {
            openrouter_site_url: String::new(),
            openrouter_app_name: String::new(),
            ..llm("openai/x", "http://h")
        };
        let headers = headers(&llm);
        assert!(!headers.contains_key("http-referer") && !headers.contains_key("x-title"));
        assert!(!headers.contains_key("authorization"));
    }

    #[test]
    fn no_number_of_extra_headers_is_too_much_for_the_server() {
        for number in [MOST_HEADERS + 1, 40_000] {
            let extra = (0..number).map(|name| (format!("x{name}"), json!("v"))).collect();
            let llm = LlmConfig { extra_headers: Some(extra), ..llm("openai/x", "") };
            let route = Route::of(&llm).unwrap();
            let traits = Traits::of(&llm, route.provider);
            assert!(route.headers(&llm, &traits, "session").is_err(), "{number}");
        }
    }

    #[test]
    fn secrets_are_marked_sensitive() {
        let llm = LlmConfig {
            api_key: Some("sk-hidden".to_owned()),
            extra_headers: json!({"X-Key": "hidden-too"}).as_object().cloned(),
            ..llm("openai/x", "http://h")
        };
        let shown = format!("{:?}", headers(&llm));
        assert!(!shown.contains("hidden"), "{shown}");
    }
}
