//! Calls a model until it answers, or until trying again makes no sense.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderMap;
use tracing::{Instrument, info_span};
use types::agent::LlmConfig;
use types::model::{Completion, ModelFailure, ModelRequest};
use types::stats::TokenUsage;

use crate::answer::{Answer, Tokens};
use crate::cost;
use crate::estimate;
use crate::exchange::{self, attempt, tools_in_words};
use crate::ladder::Ladder;
use crate::plan::Plan;
use crate::problem::Problem;
use crate::quirks::Quirks;
use crate::redact::Redactor;
use crate::retry::{LONGEST_DEMAND, attempts, wait};
use crate::stream::{Announcer, StreamSink};
use crate::text_tools::with_calls;
use crate::transport::Transport;

/// No attempt begins later than this after the first one.
const LATEST_ATTEMPT: Duration = Duration::from_secs(30 * 60);

/// A client for all providers; cheap to clone. It remembers what servers refuse.
#[derive(Clone)]
pub struct Client {
    transport: Arc<dyn Transport>,
    quirks: Arc<Quirks>,
}

impl Client {
    #[must_use]
    pub fn new(transport: Arc<dyn Transport>) -> Self {
        Self { transport, quirks: Arc::default() }
    }

    /// Asks the model of `llm`. `session` is the conversation's id, which providers use for caching. The
    /// answer is streamed to `stream` where `llm.stream` is set.
    ///
    /// # Errors
    /// The last attempt's failure; its texts hold no key.
    ///
    /// # Cancel safety
    /// Dropping the future ends the call, and an attempt announced to `stream` is aborted.
    pub async fn complete(
        &self,
        llm: &LlmConfig,
        session: &str,
        request: &ModelRequest,
        stream: Option<&dyn StreamSink>,
    ) -> Result<Completion, ModelFailure> {
        let span = info_span!("model.call", otel.kind = "client", gen_ai.request.model = %llm.model);
        self.complete_traced(llm, session, request, stream).instrument(span).await
    }

    async fn complete_traced(
        &self,
        llm: &LlmConfig,
        session: &str,
        request: &ModelRequest,
        stream: Option<&dyn StreamSink>,
    ) -> Result<Completion, ModelFailure> {
        let redactor = Redactor::of(llm);
        let sink = stream.filter(|_| llm.stream);
        let failed =
            |problem: Problem, label: &str| problem.cleaned(|text| redactor.clean(text)).into_failure(label);
        let plan =
            Plan::new(llm, session, sink.is_some()).map_err(|problem| failed(problem, "The model server"))?;
        let label = plan.route.label.as_str();
        let mut ladder = Ladder::new(self.quirks.of(&plan.route));
        let written = |ladder: &Ladder| {
            let body = exchange::body(llm, &plan, request, ladder.tweaks, &ladder.adjustments);
            body.map_err(|problem| failed(problem, label))
        };
        let mut body = written(&ladder)?;
        let (mut number, began) = (1, Instant::now());
        loop {
            let mut out = Announcer::start(sink, number);
            let started = Instant::now();
            let result = attempt(self.transport.as_ref(), llm, &plan, body.clone(), &mut out).await;
            let problem = match result {
                Ok((answer, headers)) => {
                    out.succeed();
                    let in_words = tools_in_words(llm, &ladder.adjustments);
                    let answer = if in_words { with_calls(answer, &request.tools) } else { answer };
                    if let Some(learned) = ladder.learned() {
                        self.quirks.learn(&plan.route, learned);
                    }
                    let answer = counted(answer, request);
                    return Ok(completion(llm, &plan, answer, &headers, started.elapsed()));
                }
                Err(problem) => problem,
            };
            let at_once = ladder.step(llm, &problem, &body);
            let asked = problem.asked_wait();
            let pause = match asked {
                _ if at_once || problem.is_unreadable_call() => Duration::ZERO,
                asked => wait(llm, number, asked),
            };
            let in_time =
                asked.is_none_or(|asked| asked <= LONGEST_DEMAND) && began.elapsed() + pause < LATEST_ATTEMPT;
            let again = at_once || (problem.may_retry() && number < attempts(llm) && in_time);
            let failure = failed(problem, label);
            out.abort(&failure.detail);
            if !again {
                return Err(failure);
            }
            tracing::warn!(model = %llm.model, attempt = number, code = %failure.code,
                wait_ms = pause.as_millis() as u64, "model call failed, trying again");
            tokio::time::sleep(pause).await;
            body = written(&ladder)?;
            number += 1;
        }
    }
}

/// With an estimate where the provider does not say what the call has used: whoever condenses at so many tokens would never do it.
fn counted(mut answer: Answer, request: &ModelRequest) -> Answer {
    if answer.tokens == Tokens::default() {
        answer.tokens = Tokens {
            prompt: estimate::of_request(request),
            completion: estimate::of_answer(&answer),
            ..Tokens::default()
        };
    }
    answer
}

fn completion(
    llm: &LlmConfig,
    plan: &Plan,
    answer: Answer,
    headers: &HeaderMap,
    latency: Duration,
) -> Completion {
    let known = plan.traits.known.as_ref();
    let (id, counts) = (answer.id.clone(), answer.tokens);
    let tokens = TokenUsage {
        model: llm.model.clone(),
        context_window: llm.max_input_tokens.or(known.map(|known| known.context)).unwrap_or(0),
        response_id: id.clone(),
        ..counts.usage()
    };
    let cost = cost::of(llm, known, headers, &counts);
    let (ending, latency) = (answer.ending, latency.as_secs_f64());
    Completion { id, message: answer.into_message(), ending, tokens, cost, latency }
}
