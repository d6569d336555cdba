//! Where the calls of a configuration lead, for a broker that makes them in the place of others.

use bytes::Bytes;
use reqwest::Url;
use types::agent::LlmConfig;
use types::model::ModelFailure;

use crate::meter::Meter;
use crate::plan::Plan;
use crate::redact::Redactor;
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
        HttpCall { url: self.plan.route.url.clone(), headers: self.plan.headers.clone(), body }
    }

    /// What the provider counts calls by: server and key. As secret as the key.
    #[must_use]
    pub fn account(&self) -> String {
        let origin = self.plan.route.url.origin().ascii_serialization();
        format!("{origin} {}", self.llm.api_key.as_deref().unwrap_or_default())
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
    fn the_call_has_the_key_and_texts_have_not() {
        let destination = destination("https://models.example/v1");
        let call = destination.call(Bytes::new());
        assert_eq!(call.headers["authorization"], "Bearer sk-the-key");
        assert!(!destination.clean("no such key: sk-the-key".to_owned()).contains("sk-the-key"));
    }
}
