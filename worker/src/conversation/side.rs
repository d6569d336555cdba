//! Model calls beside the run: titles, and questions about the conversation.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use agent::{Input, title};
use bytes::Bytes;
use futures_util::FutureExt;
use ports::rpc::{self, Address, Code, Fault};
use tracing::Instrument;
use types::agent::LlmConfig;
use types::calls::{CommandDone, RecordCall, WorkingCopy};
use types::classify::classify;
use types::content::joined_text;
use types::event::ConversationError;
use types::model::{Completion, FailureKind, ModelFailure, ModelRequest};
use types::stats::Usage;
use types::time::unix_seconds;

use super::actor::{Actor, End};
use super::registry::Reply;
use super::work::{Done, crashed};

/// The entry of questions in `stats`.
const ASK_USAGE: &str = "ask-agent-llm";

/// The entry of titles that another model than the agent's makes.
const TITLE_USAGE: &str = "title-llm";

const TITLE_DEADLINE: Duration = Duration::from_secs(10);

/// How a conversation is to get its title.
pub(super) struct TitleWish {
    /// `None`: the agent's own.
    llm: Option<LlmConfig>,
    prompt: Option<String>,
}

impl TitleWish {
    /// A model that cannot be read is none.
    pub(super) fn of(copy: &WorkingCopy) -> Self {
        let llm = copy.title_llm.clone().and_then(|llm| serde_json::from_value::<LlmConfig>(llm).ok());
        let llm = llm.map(|llm| LlmConfig { usage_id: TITLE_USAGE.to_owned(), ..llm });
        Self { llm, prompt: copy.title_prompt.clone() }
    }
}

impl Actor {
    /// Asks a model to name the conversation after its first message.
    pub(super) fn name_after(&mut self, text: &str) {
        if text.trim().is_empty() {
            return;
        }
        let Some(TitleWish { llm, prompt }) = self.wants_title.take() else { return };
        if self.model_broken && llm.is_none() {
            return;
        }
        let llm = llm.unwrap_or_else(|| self.agent.llm().clone());
        let (text, usage_id) = (text.to_owned(), llm.usage_id.clone());
        let request = title::request(&text, prompt.as_deref());
        self.start_side(llm, request, move |result| Done::Title { text, usage_id, result });
    }

    pub(super) fn start_question(&mut self, request: ModelRequest, reply: Reply) {
        let llm = self.agent.llm().clone();
        self.start_side(llm, request, move |result| Done::Question { reply, result });
    }

    /// A model call beside the run. Fails soon rather than wait for a provider in trouble: all attempts together have as long as
    /// the user gives one.
    fn start_side(
        &mut self,
        mut llm: LlmConfig,
        request: ModelRequest,
        report: impl FnOnce(Result<Completion, ModelFailure>) -> Done + Send + 'static,
    ) {
        llm.stream = false;
        llm.num_retries = llm.num_retries.min(2);
        llm.retry_min_wait = llm.retry_min_wait.min(1.0);
        llm.retry_max_wait = llm.retry_max_wait.min(2.0);
        let (id, shared, done) = (self.seat.id, Arc::clone(&self.shared), self.done.clone());
        let patience = patience(&llm, self.shared.config.aside_patience);
        let cancel = self.cancel_sides.clone();
        self.sides += 1;
        let ask = async move {
            let answer = shared.ask_model(&llm, id, &request, None);
            // A provider may ask for long pauses, and one that is not there may not say so.
            let answer = tokio::time::timeout(patience, AssertUnwindSafe(answer).catch_unwind());
            let report = tokio::select! {
                result = answer => report(match result {
                    Ok(Ok(answer)) => answer,
                    Ok(Err(_)) => Err(crashed()),
                    Err(_) => Err(too_slow(patience)),
                }),
                () = cancel.cancelled() => Done::Cancelled,
            };
            let _ = done.send(report).await;
        };
        self.shared.tracker.spawn(ask.in_current_span());
    }

    pub(super) async fn named(
        &mut self,
        text: &str,
        usage_id: String,
        result: Result<Completion, ModelFailure>,
    ) -> Result<(), End> {
        let title = match result {
            Ok(completion) => {
                let title = title::from_answer(&joined_text(&completion.message.content));
                self.apply(Input::SideUsage(usage(usage_id, &completion))).await?;
                title
            }
            Err(failure) => {
                let classification = Some(classify(&failure.code, &failure.detail));
                let error = ConversationError { code: failure.code, detail: failure.detail, classification };
                self.apply(Input::SideError(error)).await?;
                None
            }
        };
        self.set_title(title.unwrap_or_else(|| title::fallback(text)));
        Ok(())
    }

    fn set_title(&self, title: String) {
        let (id, shared) = (self.seat.id, Arc::clone(&self.shared));
        let title = self.kept.secrets.masker().mask(&title);
        self.shared.tracker.spawn(async move {
            let address = Address::of_control_plane(&shared.config.sandbox);
            let call = RecordCall::SetTitle { conversation: id, title };
            let bus = shared.ports.bus.as_ref();
            let set = rpc::call_patiently(bus, &address, &call, Bytes::new(), TITLE_DEADLINE);
            if let Err(fault) = set.await.map(|((), _)| ()) {
                tracing::warn!(conversation.id = %id, %fault, "the title is not set");
            }
        });
    }

    pub(super) async fn answered(
        &mut self,
        reply: Reply,
        result: Result<Completion, ModelFailure>,
    ) -> Result<(), End> {
        let completion = match result {
            Ok(completion) => completion,
            Err(failure) => {
                let code =
                    if failure.code == "LLMTimeoutError" { Code::UpstreamSlow } else { Code::Upstream };
                let told = format!("{}: {}", failure.code, failure.detail);
                let _ = reply.send(Err(Fault::new(code, self.kept.secrets.masker().mask(&told))));
                return Ok(());
            }
        };
        let text = self.kept.secrets.masker().mask(&joined_text(&completion.message.content));
        self.answering = Some(reply);
        self.apply(Input::QuestionUsage(usage(ASK_USAGE.to_owned(), &completion))).await?;
        if let Some(reply) = self.answering.take() {
            let _ = reply.send(Ok(CommandDone { text: Some(text), ..self.position() }));
        }
        Ok(())
    }
}

fn patience(llm: &LlmConfig, most: Duration) -> Duration {
    let own = llm.timeout.filter(|seconds| *seconds > 0.0);
    own.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).map_or(most, |own| own.min(most))
}

fn too_slow(patience: Duration) -> ModelFailure {
    ModelFailure {
        kind: FailureKind::Other,
        code: "LLMTimeoutError".to_owned(),
        detail: format!("The model has not answered within {} seconds.", patience.as_secs()),
    }
}

fn usage(usage_id: String, completion: &Completion) -> Usage {
    Usage {
        usage_id,
        tokens: completion.tokens.clone(),
        cost: completion.cost,
        latency: completion.latency,
        at: unix_seconds(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    #[test]
    fn a_question_may_take_as_long_as_the_users_model_may_unless_the_client_would_not_wait() {
        let config = Config::new(types::SandboxId::shared(), types::Epoch(1), "/o".into(), "/p".into());
        for (timeout, seconds) in [
            (Some(0.5), 0.5),
            (Some(300.0), 300.0),
            (Some(3_600.0), 550.0),
            (Some(0.0), 550.0),
            (Some(f64::INFINITY), 550.0),
            (None, 550.0),
        ] {
            let llm = LlmConfig { timeout, ..LlmConfig::default() };
            assert_eq!(patience(&llm, config.aside_patience).as_secs_f64(), seconds, "{timeout:?}");
        }
    }
}
