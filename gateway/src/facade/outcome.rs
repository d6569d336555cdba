//! What a run comes to.

use std::time::Duration;

use http::StatusCode;
use readmodel::index::ConversationState;
use types::conversation::Status;

use super::begin::Run;
use crate::conversations::last_word;
use crate::error::{ApiError, ApiResult};
use crate::handles::Facade;

/// How long a client is kept waiting. The run goes on.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

/// Tokens of all models that a conversation has called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tokens {
    pub prompt: u64,
    pub completion: u64,
    pub cached: u64,
    pub reasoning: u64,
}

/// The agent's last word, and what it has taken to come to it.
pub(super) struct Outcome {
    pub text: String,
    pub tokens: Tokens,
}

impl Facade {
    /// Waits for the end of a run.
    ///
    /// # Errors
    /// 504 where it takes longer; 409 and 500 for an end that is none of its own.
    pub(super) async fn outcome(&self, run: &Run) -> ApiResult<Outcome> {
        match self.conversations.until_rest(&run.entry, PATIENCE).await {
            Some(status) => self.outcome_of(run, status).await,
            None => Err(timed_out()),
        }
    }

    /// What a run comes to that has ended so.
    ///
    /// # Errors
    /// 409 and 500 for an end that is none of its own.
    pub(super) async fn outcome_of(&self, run: &Run, status: Status) -> ApiResult<Outcome> {
        check(status)?;
        let said = last_word(&self.reading, &run.entry).await?;
        Ok(Outcome { text: said.unwrap_or_default(), tokens: Tokens::of(&run.entry).since(run.before) })
    }
}

pub(super) fn timed_out() -> ApiError {
    failed(StatusCode::GATEWAY_TIMEOUT, "Agent run timed out".to_owned())
}

fn check(status: Status) -> ApiResult<()> {
    let name = serde_json::to_value(status)?;
    let name = name.as_str().unwrap_or_default();
    match status {
        Status::Finished => Ok(()),
        Status::Paused | Status::WaitingForConfirmation => {
            Err(ApiError::new(StatusCode::CONFLICT, format!("Agent run ended with status: {name}")))
        }
        Status::Error | Status::Stuck => {
            Err(failed(StatusCode::INTERNAL_SERVER_ERROR, format!("Agent run ended with status: {name}")))
        }
        Status::Idle | Status::Running | Status::Deleting => Err(failed(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("Agent run ended with unexpected status: {name}"),
        )),
    }
}

fn failed(status: StatusCode, detail: String) -> ApiError {
    ApiError::Failed { status, detail: detail.into(), cause: None, again: false }
}

impl Tokens {
    pub fn of(entry: &ConversationState) -> Self {
        entry.with_projection(|projection| {
            let mut sum = Self::default();
            for metrics in projection.stats.usage_to_metrics.values() {
                let used = &metrics.accumulated_token_usage;
                sum.prompt = sum.prompt.saturating_add(used.prompt_tokens);
                sum.completion = sum.completion.saturating_add(used.completion_tokens);
                sum.cached = sum.cached.saturating_add(used.cache_read_tokens);
                sum.reasoning = sum.reasoning.saturating_add(used.reasoning_tokens);
            }
            sum
        })
    }

    fn since(self, before: Self) -> Self {
        Self {
            prompt: self.prompt.saturating_sub(before.prompt),
            completion: self.completion.saturating_sub(before.completion),
            cached: self.cached.saturating_sub(before.cached),
            reasoning: self.reasoning.saturating_sub(before.reasoning),
        }
    }

    pub fn total(self) -> u64 {
        self.prompt.saturating_add(self.completion)
    }
}
