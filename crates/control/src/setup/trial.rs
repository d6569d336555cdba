//! Whether a model can be called as it is configured: one call is made, and nothing is kept.

use std::sync::Arc;

use llm::{Direct, Subscription, probe, probe_subscription};
use ports::rpc::{Fault, Limits, Reason};
use secrecy::ExposeSecret;
use serde_json::Value;
use types::TenantId;
use types::agent::LlmConfig;
use types::classify::is_used_up;
use types::model::ModelFailure;

use super::{Setup, Setups, canonical, linked, model};
use crate::Refusal;
use crate::logins::OPENAI_MODELS;
use crate::shelf::Expose;

/// Of calls under way: of all tenants, and of one. They have no bytes to speak of.
pub(super) const LIMITS: Limits = Limits::new(64, 0).for_each_subject(4, 0);

/// Failures that say nothing of the configuration.
const PASSING: [&str; 2] = ["LLMRateLimitError", "LLMTimeoutError"];

/// Why a model cannot be called as it is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LlmProblem {
    pub kind: String,
    /// Without a key.
    pub message: String,
}

impl Setups {
    /// `None` where the model answers, or only cannot at the moment. `name`: of the profile that it is to be; a mask in what is
    /// given means what that one has.
    ///
    /// # Errors
    /// `Fault` where too many are tried at once; `TooLarge`, `Troubles`, `Unfit`, `WrongKey`; those of the shelf.
    pub async fn try_llm(
        &self,
        tenant: &TenantId,
        name: &str,
        given: Value,
    ) -> Result<Option<LlmProblem>, Refusal> {
        let given = model::whole(given)?;
        let setup = self.ground.shelves.read::<Setup>(tenant).await?;
        let llm = self.runnable(tenant, &setup, name, given)?;
        let permit = self.trials.take(tenant.as_str(), 0);
        let _permit = permit.ok_or_else(|| Fault::from(Reason::Overloaded))?;
        let is_subscription = llm.get("auth_type").and_then(Value::as_str) == Some("subscription");
        let tried =
            if is_subscription { self.try_login(tenant, &llm).await? } else { self.try_key(llm).await };
        Ok(tried.err())
    }

    /// With all of its secrets in plain text.
    fn runnable(&self, tenant: &TenantId, setup: &Setup, name: &str, given: Value) -> Result<Value, Refusal> {
        let sealing = self.sealing(tenant);
        let stored = setup.llm_profiles.get(canonical(name)).unwrap_or(&Value::Null);
        let own = model::sealed(&sealing, given, stored)?;
        let mut llm = match linked(setup, None, own.clone()) {
            // What has a key of its own can do without the connection.
            Err(Refusal::Unfit(_)) if own.get("api_key").is_some_and(Value::is_string) => own,
            outcome => outcome?,
        };
        sealing.show(forms::llm(), &mut llm, Expose::Plain)?;
        Ok(llm)
    }

    async fn try_key(&self, llm: Value) -> Result<(), LlmProblem> {
        let config = serde_json::from_value::<LlmConfig>(llm).map_err(|_| LlmProblem {
            kind: "LLMBadRequestError".to_owned(),
            message: "A field of the model has a value that cannot be sent.".to_owned(),
        })?;
        outcome(probe(Arc::new(Direct::new(self.ground.outbound.clone())), config).await)
    }

    async fn try_login(&self, tenant: &TenantId, llm: &Value) -> Result<Result<(), LlmProblem>, Refusal> {
        let name = llm.get("model").and_then(Value::as_str).unwrap_or_default();
        let name = name.strip_prefix("openai/").unwrap_or(name);
        let unfit = |message: String| Ok(Err(LlmProblem { kind: "ValueError".to_owned(), message }));
        let token = match self.logins.openai_token(tenant).await {
            Ok(Some(token)) => token,
            Ok(None) => return unfit("OpenAI subscription login is required".to_owned()),
            Err(Refusal::Coded { .. }) => return unfit("The login could not be renewed.".to_owned()),
            Err(refusal) => return Err(refusal),
        };
        if !OPENAI_MODELS.contains(&name) {
            return unfit(format!(
                "Model '{name}' is not supported for subscription access. Supported models: {}",
                OPENAI_MODELS.join(", ")
            ));
        }
        let subscription = Subscription {
            base_url: &self.ground.openai.models_url,
            token: token.access.expose_secret(),
            account: token.account.as_deref(),
        };
        let transport = Direct::new(self.ground.outbound.clone());
        Ok(outcome(probe_subscription(&transport, &subscription, name).await))
    }
}

/// What passes is no problem; a quota that is used up does not pass.
fn outcome(asked: Result<(), ModelFailure>) -> Result<(), LlmProblem> {
    match asked {
        Ok(()) => Ok(()),
        Err(failure) if PASSING.contains(&failure.code.as_str()) && !is_used_up(&failure.detail) => Ok(()),
        Err(failure) => Err(LlmProblem { kind: failure.code, message: failure.detail }),
    }
}

#[cfg(test)]
mod tests {
    use types::model::FailureKind;

    use super::*;

    #[test]
    fn a_full_quota_is_not_a_passing_error() {
        let tried = |code: &str, detail: &str| {
            let failure =
                ModelFailure { kind: FailureKind::Other, code: code.to_owned(), detail: detail.to_owned() };
            outcome(Err(failure)).map_err(|problem| problem.kind)
        };
        assert_eq!(tried("LLMRateLimitError", "OpenAI answered 429: slow down"), Ok(()));
        assert_eq!(tried("LLMTimeoutError", "sent nothing for 15 seconds"), Ok(()));
        assert_eq!(
            tried("LLMRateLimitError", "OpenAI answered 429: You exceeded your quota (insufficient_quota)"),
            Err("LLMRateLimitError".to_owned())
        );
        assert_eq!(
            tried("LLMServiceUnavailableError", "failed"),
            Err("LLMServiceUnavailableError".to_owned())
        );
    }
}
