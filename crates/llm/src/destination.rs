//! Where the calls of a configuration lead, for a broker that makes them in the place of others.

use bytes::Bytes;
use http::HeaderValue;
use reqwest::Url;
use types::TenantId;
use types::agent::LlmConfig;
use types::model::ModelFailure;

use crate::meter::Meter;
use crate::plan::Plan;
use crate::redact::Redactor;
use crate::route::SESSION_HEADER;
use crate::transport::HttpCall;

/// A configuration with its secrets, and what follows from it. Never shown, never logged.
pub struct Destination {
    llm: LlmConfig,
    plan: Plan,
    redactor: Redactor,
}

impl Destination {
    /// `session` is the conversation's id, as the caller's client has it.
    ///
    /// # Errors
    /// The configuration leads nowhere.
    pub fn of(llm: LlmConfig, session: &str) -> Result<Self, ModelFailure> {
        let plan =
            Plan::new(&llm, session, false).map_err(|problem| problem.into_failure("The model server"))?;
        Ok(Self { redactor: Redactor::of(&llm), plan, llm })
    }

    /// Whether calls of this configuration go to `url` (user and password in it do not count) and name `model`.
    #[must_use]
    pub fn is(&self, url: &Url, model: &str) -> bool {
        without_user(url) == without_user(&self.plan.route.url) && model == self.plan.route.model
    }

    /// The complete call: the headers are those of the configuration alone.
    #[must_use]
    pub fn call(&self, body: Bytes) -> HttpCall {
        let usage_id = self.llm.usage_id.clone();
        HttpCall { url: self.plan.route.url.clone(), headers: self.plan.headers.clone(), body, usage_id }
    }

    /// What the provider counts calls by: its server, and the key, or where none is told, all that may hold one. And the tenant:
    /// nobody keeps another one waiting. As secret as the key.
    #[must_use]
    pub fn account(&self, tenant: &TenantId) -> String {
        let url = &self.plan.route.url;
        let key = self.llm.api_key.clone().filter(|key| !key.is_empty());
        let key = key.unwrap_or_else(|| {
            let (user, password) = (url.username(), url.password().unwrap_or_default());
            // Of the header that names the conversation each has its own.
            let headers = self.plan.headers.iter().filter(|(name, _)| *name != SESSION_HEADER);
            let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
            let mut headers: Vec<_> =
                headers.map(|(name, value)| format!("{name}: {}", text(value))).collect();
            headers.sort_unstable();
            format!("{user} {password} {}", headers.join("\n"))
        });
        format!("{tenant} {} {key}", url.origin().ascii_serialization())
    }

    /// `text` without the secrets of the configuration.
    #[must_use]
    pub fn clean(&self, text: String) -> String {
        self.redactor.clean(text)
    }

    /// US dollars that a call with a body of so many bytes may cost, if its answer is as long as it can be.
    #[must_use]
    pub fn likely_cost(&self, request_bytes: usize) -> f64 {
        self.meter(request_bytes).likely_cost(self.plan.traits.max_output.unwrap_or(LIKELY_ANSWER))
    }

    /// Begins to count what a call with a body of so many bytes uses.
    #[must_use]
    pub fn meter(&self, request_bytes: usize) -> Meter {
        let known = self.plan.traits.known;
        Meter::new(self.llm.clone(), self.plan.route.dialect, known, request_bytes)
    }
}

/// Tokens of an answer whose model is not known.
const LIKELY_ANSWER: u64 = 4_096;

fn without_user(url: &Url) -> Url {
    let mut url = url.clone();
    // Only of URLs without a host it cannot be taken, and those have none.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn destination(base_url: &str) -> Destination {
        let llm = LlmConfig {
            model: "openai/m".to_owned(),
            base_url: Some(base_url.to_owned()),
            api_key: Some("sk-the-key".to_owned()),
            ..LlmConfig::default()
        };
        Destination::of(llm, "session").unwrap()
    }

    #[test]
    fn only_the_very_url_and_model_are_a_destination() {
        let destination = destination("https://user:pass@models.example/v1");
        let is = |url: &str, model: &str| destination.is(&Url::parse(url).unwrap(), model);
        assert!(is("https://models.example/v1/chat/completions", "m"));
        for url in [
            "https://models.example/v1/chat/completions?a=b",
            "https://models.example/v1/chat/completions/",
            "http://models.example/v1/chat/completions",
            "https://models.example:444/v1/chat/completions",
            "https://models.example.evil/v1/chat/completions",
            "https://models.example/v1/models",
        ] {
            assert!(!is(url, "m"), "{url}");
        }
        assert!(!is("https://models.example/v1/chat/completions", "dearer"));
    }

    #[test]
    fn an_account_is_a_server_and_a_tenant_and_a_key_wherever_it_stands() {
        let account = |tenant: &str, header: &str, session: &str, base_url: &str| {
            let llm = LlmConfig {
                model: "openai/m".to_owned(),
                base_url: Some(base_url.to_owned()),
                extra_headers: json!({"X-Key": header}).as_object().cloned(),
                ..LlmConfig::default()
            };
            let tenant = TenantId::parse(tenant).unwrap();
            Destination::of(llm, session).unwrap().account(&tenant)
        };
        let own = account("a", "k", "1", "https://models.example/v1");
        assert_eq!(own, account("a", "k", "2", "https://models.example/other/v1"), "of all conversations");
        for other in [
            account("b", "k", "1", "https://models.example/v1"),
            account("a", "l", "1", "https://models.example/v1"),
            account("a", "k", "1", "https://user@models.example/v1"),
            account("a", "k", "1", "https://models.example:444/v1"),
        ] {
            assert_ne!(own, other);
        }
    }

    #[test]
    fn the_call_has_the_key_and_texts_have_not() {
        let destination = destination("https://models.example/v1");
        let call = destination.call(Bytes::new());
        assert_eq!(call.headers["authorization"], "Bearer sk-the-key");
        assert!(!destination.clean("no such key: sk-the-key".to_owned()).contains("sk-the-key"));
    }
}
