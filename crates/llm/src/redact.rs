//! Takes the secrets of a configuration out of texts that others will read.

use reqwest::Url;
use serde_json::Value;
use types::agent::LlmConfig;
use types::secrets::MASK;

/// Shorter values are no secrets, and replacing them would spoil any text.
const LEAST_LENGTH: usize = 6;

/// Words of names whose values are secrets.
const SECRET: [&str; 5] = ["key", "token", "secret", "password", "authorization"];

pub(crate) struct Redactor {
    /// Longest first, so that no secret leaves a rest of another one.
    secrets: Vec<String>,
}

impl Redactor {
    pub(crate) fn of(llm: &LlmConfig) -> Self {
        let keys = [&llm.api_key, &llm.aws_access_key_id, &llm.aws_secret_access_key, &llm.aws_session_token];
        let mut secrets: Vec<String> = keys.into_iter().flatten().cloned().collect();
        for value in llm.extra_headers.iter().flat_map(|headers| headers.values()).filter_map(Value::as_str) {
            // `Bearer KEY` is repeated without its first word.
            secrets.extend(value.split_whitespace().chain([value]).map(str::to_owned));
        }
        llm.litellm_extra_body.iter().for_each(|(name, value)| named(name, value, 0, &mut secrets));
        if let Some(url) = llm.base_url.as_deref().and_then(|url| Url::parse(url.trim()).ok()) {
            secrets.extend(url.password().map(str::to_owned));
            secrets.push(url.username().to_owned());
            secrets.extend(url.query_pairs().map(|(_, value)| value.into_owned()));
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

/// The texts that have such a name, or are within what has it.
fn named(name: &str, value: &Value, depth: u8, secrets: &mut Vec<String>) {
    let name = name.to_ascii_lowercase();
    let is_secret = SECRET.iter().any(|word| name.ends_with(word));
    match value {
        Value::String(text) if is_secret => {
            secrets.extend(text.split_whitespace().chain([text.as_str()]).map(str::to_owned));
        }
        Value::Object(fields) if depth < 4 => {
            fields.iter().for_each(|(name, value)| named(name, value, depth + 1, secrets));
        }
        _ => {}
    }
}
