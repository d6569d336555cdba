//! Whether a model answers as it is configured: one call that costs next to nothing.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use reqwest::Url;
use serde_json::json;
use types::agent::LlmConfig;
use types::content::{Message, Role};
use types::model::{ModelFailure, ModelRequest};
use types::secrets::MASK;
use uuid::Uuid;

use crate::client::Client;
use crate::exchange::opened;
use crate::problem::Problem;
use crate::provider::Dialect;
use crate::route::Route;
use crate::transport::{HttpCall, Transport};

/// Whoever asks waits for it.
const PATIENCE: Duration = Duration::from_secs(15);

const WISH: &str = "Reply with one token.";

/// The least that OpenAI's responses API takes.
const LEAST_OF_RESPONSES: u64 = 16;

/// A login whose owner has subscribed to models, in the place of a key.
pub struct Subscription<'a> {
    /// Of the API; calls go below it.
    pub base_url: &'a str,
    pub token: &'a str,
    pub account: Option<&'a str>,
}

/// Makes one call, and no second one but without what the server has refused of the first.
///
/// # Errors
/// Why the model does not answer; the texts hold no key.
pub async fn probe(transport: Arc<dyn Transport>, llm: LlmConfig) -> Result<(), ModelFailure> {
    let llm = modest(llm);
    let messages = vec![Message::new(Role::System, WISH), Message::new(Role::User, "ping")];
    let session = Uuid::new_v4().hyphenated().to_string();
    let request = ModelRequest::new(messages, Vec::new());
    Client::new(transport).complete(&llm, &session, &request, None).await.map(drop)
}

/// The same with a login. That an answer begins says enough: the rest is not waited for.
///
/// # Errors
/// As [`probe`].
pub async fn probe_subscription(
    transport: &dyn Transport,
    subscription: &Subscription<'_>,
    model: &str,
) -> Result<(), ModelFailure> {
    let asking = async { opened(transport, subscription.call(model)?).await.map(drop) };
    let asked = tokio::time::timeout(PATIENCE, asking).await;
    asked.unwrap_or_else(|_| Err(Problem::timeout(PATIENCE))).map_err(|problem| {
        problem.cleaned(|text| text.replace(subscription.token, MASK)).into_failure("ChatGPT")
    })
}

fn modest(llm: LlmConfig) -> LlmConfig {
    let most = PATIENCE.as_secs_f64();
    let patience = llm.timeout.filter(|seconds| *seconds > 0.0).map_or(most, |seconds| seconds.min(most));
    let wants_more = Route::of(&llm).is_ok_and(|route| route.dialect == Dialect::Responses);
    LlmConfig {
        num_retries: 1,
        timeout: Some(patience),
        max_output_tokens: Some(if wants_more { LEAST_OF_RESPONSES } else { 1 }),
        // A prompt too short to be cached would be sent again.
        caching_prompt: false,
        stream: false,
        ..llm
    }
}

impl Subscription<'_> {
    /// As the provider's own program makes it: streamed, stored nowhere, and without a limit, which is refused there.
    fn call(&self, model: &str) -> Result<HttpCall, Problem> {
        let no_url = |_| Problem::config("The address for subscriptions is no URL.");
        let url = format!("{}/responses", self.base_url.trim_end_matches('/'));
        let body = json!({
            "model": model,
            "instructions": WISH,
            "input": [{"role": "user", "content": [{"type": "input_text", "text": "ping"}]}],
            "store": false,
            "stream": true,
        });
        let body = Bytes::from(body.to_string());
        let (url, headers) = (Url::parse(&url).map_err(no_url)?, self.headers()?);
        Ok(HttpCall { url, headers, body, usage_id: String::new() })
    }

    fn headers(&self) -> Result<HeaderMap, Problem> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(
            HeaderName::from_static("openai-beta"),
            HeaderValue::from_static("responses=experimental"),
        );
        headers.insert(HeaderName::from_static("originator"), HeaderValue::from_static("codex_cli_rs"));
        headers.insert(AUTHORIZATION, secret(&format!("Bearer {}", self.token))?);
        if let Some(account) = self.account {
            headers.insert(HeaderName::from_static("chatgpt-account-id"), secret(account)?);
        }
        Ok(headers)
    }
}

fn secret(text: &str) -> Result<HeaderValue, Problem> {
    let value = HeaderValue::from_str(text);
    let mut value = value.map_err(|_| Problem::config("The login has characters that no login has."))?;
    value.set_sensitive(true);
    Ok(value)
}
