//! What runs beside the actor and reports back: model calls and tools.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use agent::{Input, ToolOutcome};
use futures_util::FutureExt;
use llm::StreamSink;
use tokio::task::AbortHandle;
use tracing::{Instrument, info_span};
use types::agent::LlmConfig;
use types::model::{Completion, FailureKind, ModelFailure, ModelRequest};
use types::time::millis;
use types::tool::ToolAction;
use types::{ConversationId, EventId, subjects};

use super::Shared;
use super::actor::{Actor, End};
use super::equip::Found;
use super::live;
use super::registry::Reply;

/// How long a cancelled tool may take to stop before it is given up: more than a terminal takes that does not obey.
const CANCEL_GRACE: Duration = Duration::from_secs(5);

/// Work that has ended.
pub(super) enum Done {
    Model {
        call: u64,
        result: Result<Completion, ModelFailure>,
    },
    Tool {
        action_id: EventId,
        outcome: ToolOutcome,
    },
    Title {
        text: String,
        usage_id: String,
        result: Result<Completion, ModelFailure>,
    },
    Question {
        reply: Reply,
        result: Result<Completion, ModelFailure>,
    },
    /// The tools of the agent's servers.
    Equipped(Found),
    /// A side call that was cancelled.
    Cancelled,
}

/// The model call under way.
pub(super) struct ModelCall {
    number: u64,
    task: AbortHandle,
}

impl ModelCall {
    pub(super) fn cancel(self) {
        self.task.abort();
    }
}

impl Actor {
    pub(super) fn start_model(
        &mut self,
        call: u64,
        item_id: EventId,
        anchor: Option<u64>,
        llm: LlmConfig,
        request: ModelRequest,
    ) {
        let (id, shared, done) = (self.seat.id, Arc::clone(&self.shared), self.done.clone());
        let masker = self.kept.secrets.masker();
        let call_model = async move {
            let begun = Instant::now();
            let answer = async {
                if !llm.stream {
                    return shared.ask_model(&llm, id, &request, None).await;
                }
                let subject = subjects::live(&shared.config.sandbox, id);
                let (feed, queue) = live::feed(item_id, anchor, masker);
                let publishing = live::publish(queue, shared.ports.bus.clone(), subject);
                let publishing = shared.tracker.spawn(publishing);
                let answer = shared.ask_model(&llm, id, &request, Some(&feed)).await;
                feed.finish();
                let _ = publishing.await;
                answer
            };
            let result = AssertUnwindSafe(answer).catch_unwind().await.unwrap_or_else(|_| Err(crashed()));
            let duration_ms = millis(begun.elapsed());
            tracing::debug!(conversation.id = %id, duration_ms, ok = result.is_ok(), "model answered");
            let _ = done.send(Done::Model { call, result }).await;
        };
        let task = self.shared.tracker.spawn(call_model.instrument(self.run_span())).abort_handle();
        if let Some(old) = self.model.replace(ModelCall { number: call, task }) {
            old.cancel();
        }
    }

    pub(super) fn start_tool(&mut self, action_id: EventId, tool: String, action: ToolAction) {
        let (id, done) = (self.seat.id, self.done.clone());
        let tools = Arc::clone(&self.kept.tools);
        let cancel = self.cancel_tools.clone();
        let lease_state = self.shared.guards.lease_state.clone();
        self.tools_running += 1;
        let span = info_span!(parent: &self.run_span(), "tool.run", tool);
        let run_tool = async move {
            let begun = Instant::now();
            let run = async {
                cancel.run_until_cancelled(lease_state.until_sure()).await;
                // What is interrupted before it may begin does not begin.
                match cancel.is_cancelled() {
                    true => None,
                    false => Some(tools.run(&tool, &action, cancel.clone()).await),
                }
            };
            let given_up = async {
                cancel.cancelled().await;
                tokio::time::sleep(CANCEL_GRACE).await;
            };
            let result = tokio::select! {
                result = AssertUnwindSafe(run).catch_unwind() => result.ok().flatten(),
                () = given_up => None,
            };
            let outcome = match result {
                _ if cancel.is_cancelled() => ToolOutcome::Interrupted,
                Some(Ok(observation)) => ToolOutcome::Observed(observation),
                Some(Err(error)) => ToolOutcome::Failed(error),
                None => ToolOutcome::Failed(format!("The tool '{tool}' crashed.")),
            };
            let duration_ms = millis(begun.elapsed());
            tracing::debug!(conversation.id = %id, tool, duration_ms, "tool finished");
            let _ = done.send(Done::Tool { action_id, outcome }).await;
        };
        self.shared.tracker.spawn(run_tool.instrument(span));
    }

    /// Takes in the result of work.
    pub(super) async fn finished(&mut self, done: Done) -> Result<(), End> {
        match done {
            Done::Model { call, result } => {
                if self.model.take_if(|model| model.number == call).is_none() {
                    return Ok(());
                }
                self.model_broken = matches!(&result, Err(failure) if matches!(failure.kind, FailureKind::Refused | FailureKind::Other));
                self.apply(Input::ModelAnswered { call, result }).await
            }
            Done::Tool { action_id, outcome } => {
                self.tools_running -= 1;
                self.apply(Input::ToolFinished { action_id, outcome }).await
            }
            Done::Title { text, usage_id, result } => {
                self.sides -= 1;
                self.named(&text, usage_id, result).await
            }
            Done::Question { reply, result } => {
                self.sides -= 1;
                self.answered(reply, result).await
            }
            Done::Equipped(found) => self.equipped(found).await,
            Done::Cancelled => {
                self.sides -= 1;
                Ok(())
            }
        }
    }
}

impl Shared {
    /// Asks a model and counts its answer.
    pub(super) async fn ask_model(
        &self,
        llm: &LlmConfig,
        id: ConversationId,
        request: &ModelRequest,
        stream: Option<&dyn StreamSink>,
    ) -> Result<Completion, ModelFailure> {
        let completion = self.models.complete(llm, &id.to_string(), request, stream).await?;
        self.config.work.stepped(&completion.tokens, completion.cost);
        Ok(completion)
    }
}

pub(super) fn crashed() -> ModelFailure {
    ModelFailure {
        kind: FailureKind::Other,
        code: "InternalError".to_owned(),
        detail: "The model client crashed; the server's log has the reason.".to_owned(),
    }
}
