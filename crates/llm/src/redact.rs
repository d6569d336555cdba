//! Takes the secrets of a configuration out of texts that others will read.

use reqwest::Url;
use serde_json::Value;
use types::agent::LlmConfig;
use types::secrets::MASK;

/// Shorter values are no secrets, and replacing them would spoil any text.
const LEAST_LENGTH: usize = 6;

pub(crate) struct Redactor {
    /// Longest first, so that no secret leaves a rest of another one.
    secrets: Vec<String>,
}

impl Redactor {
    pub(crate) fn of(llm: &LlmConfig) -> Self {
        let keys = [&llm.api_key, &llm.aws_access_key_id, &llm.aws_secret_access_key, &llm.aws_session_token];
        let headers = llm.extra_headers.iter().flat_map(|headers| headers.values()).filter_map(Value::as_str);
        let mut secrets: Vec<String> = keys.into_iter().flatten().cloned().collect();
        secrets.extend(headers.map(str::to_owned));
        if let Some(url) = llm.base_url.as_deref().and_then(|url| Url::parse(url).ok()) {
            secrets.extend(url.password().map(str::to_owned));
        }
        secrets.retain(|secret| secret.len() >= LEAST_LENGTH);
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self { secrets }
    }

    pub(crate) fn clean(&self, text: String) -> String {
        self.secrets.iter().fold(text, |text, secret| {
            if text.contains(secret.as_str()) { text.replace(secret.as_str(), MASK) } else { text }
        })
    }
}
