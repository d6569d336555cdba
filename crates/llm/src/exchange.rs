//! One attempt: the request out, the answer in, plain or streamed.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use tokio::time::Instant;
use types::agent::LlmConfig;
use types::model::ModelRequest;

use crate::answer::Answer;
use crate::plan::{Plan, Tweaks};
use crate::problem::Problem;
use crate::provider::Dialect;
use crate::retry::{limit, retry_after};
use crate::sse::{SseEvent, SseReader};
use crate::stream::Announcer;
use crate::transport::{AnswerBody, HttpAnswer, HttpCall, Transport};
use crate::{anthropic, chat, responses};

/// Most bytes of an answer.
const ANSWER_LIMIT: usize = 64 << 20;
/// What a stream may take from its head to its end, however much it says.
const LONGEST_STREAM: Duration = Duration::from_secs(60 * 60);
/// Most bytes of an error text; the rest is not read.
const ERROR_LIMIT: usize = 64 << 10;

/// The body of a request, in the dialect of its route.
pub(crate) fn body(
    llm: &LlmConfig,
    plan: &Plan,
    request: &ModelRequest,
    tweaks: Tweaks,
) -> Result<Bytes, Problem> {
    let written = match plan.route.dialect {
        Dialect::Chat => chat::body(llm, plan, request, tweaks),
        Dialect::Responses => responses::body(llm, plan, request, tweaks),
        Dialect::Anthropic => anthropic::body(llm, plan, request, tweaks),
    };
    written.map(Bytes::from).map_err(|_| Problem::config("The conversation cannot be written as JSON."))
}

/// The answer and the head it came with.
pub(crate) async fn attempt(
    transport: &dyn Transport,
    llm: &LlmConfig,
    plan: &Plan,
    body: Bytes,
    out: &mut Announcer<'_>,
) -> Result<(Answer, HeaderMap), Problem> {
    let (url, headers, usage_id) = (plan.route.url.clone(), plan.headers.clone(), llm.usage_id.clone());
    let call = HttpCall { url, headers, body, usage_id };
    let dialect = plan.route.dialect;
    let whole = limit(llm.timeout);
    let (answer, headers) = if plan.stream {
        let idle = limit(llm.stream_idle_timeout.or(llm.timeout));
        streamed(transport, call, dialect, whole, idle, out).await?
    } else {
        within(whole, plain(transport, call, dialect)).await?
    };
    if answer.refused && answer.is_empty() {
        return Err(Problem::content_policy());
    }
    Ok((answer, headers))
}

async fn plain(
    transport: &dyn Transport,
    call: HttpCall,
    dialect: Dialect,
) -> Result<(Answer, HeaderMap), Problem> {
    let answer = opened(transport, call).await?;
    let body = whole_body(answer.body).await?;
    Ok((read(dialect, &body)?, answer.headers))
}

async fn streamed(
    transport: &dyn Transport,
    call: HttpCall,
    dialect: Dialect,
    head: Duration,
    idle: Duration,
    out: &mut Announcer<'_>,
) -> Result<(Answer, HeaderMap), Problem> {
    let answer = within(head, opened(transport, call)).await?;
    if is_json(&answer.headers) {
        let body = within(head, whole_body(answer.body)).await?;
        return Ok((read(dialect, &body)?, answer.headers));
    }
    let assembled = match dialect {
        Dialect::Chat => {
            let mut assembly = chat::Assembly::default();
            follow(answer.body, idle, |event| assembly.take(event, out)).await?;
            assembly.finish()
        }
        Dialect::Responses => {
            let mut assembly = responses::Assembly::default();
            follow(answer.body, idle, |event| assembly.take(event, out)).await?;
            assembly.finish()
        }
        Dialect::Anthropic => {
            let mut assembly = anthropic::Assembly::default();
            follow(answer.body, idle, |event| assembly.take(event, out)).await?;
            assembly.finish()
        }
    };
    Ok((assembled?, answer.headers))
}

/// Sends and turns every status but success into a problem.
pub(crate) async fn opened(transport: &dyn Transport, call: HttpCall) -> Result<HttpAnswer, Problem> {
    let answer = transport.send(call).await.map_err(|error| Problem::transport(&error))?;
    if answer.status.is_success() {
        return Ok(answer);
    }
    let asked = retry_after(&answer.headers, Timestamp::now());
    Err(refusal(answer.status, answer.body).await.retry_after(asked))
}

async fn refusal(status: StatusCode, mut body: AnswerBody) -> Problem {
    let mut text = Vec::new();
    while let Some(Ok(piece)) = body.next().await {
        let room = ERROR_LIMIT.saturating_sub(text.len());
        text.extend(piece.iter().take(room));
        if text.len() >= ERROR_LIMIT {
            break;
        }
    }
    Problem::status(status.as_u16(), &text)
}

async fn whole_body(mut body: AnswerBody) -> Result<Vec<u8>, Problem> {
    let mut whole = Vec::new();
    while let Some(piece) = body.next().await {
        let piece = piece.map_err(|error| Problem::transport(&error))?;
        if whole.len() + piece.len() > ANSWER_LIMIT {
            return Err(Problem::garbled("the answer is too long"));
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole)
}

fn read(dialect: Dialect, body: &[u8]) -> Result<Answer, Problem> {
    match dialect {
        Dialect::Chat => chat::read(body),
        Dialect::Responses => responses::read(body),
        Dialect::Anthropic => anthropic::read(body),
    }
}

/// Hands every event to `take` until it says that was all, or the stream ends. A broken connection is an
/// end like any other: whether the answer was complete, only the assembly knows. `idle` is between two events:
/// comments, which some servers send for ever, are no sign of an answer.
async fn follow(
    mut body: AnswerBody,
    idle: Duration,
    mut take: impl FnMut(&SseEvent) -> Result<bool, Problem>,
) -> Result<(), Problem> {
    let (mut reader, mut events, mut received) = (SseReader::default(), Vec::new(), 0_usize);
    let whole = Instant::now() + idle.max(LONGEST_STREAM);
    let mut heard = Instant::now();
    loop {
        let next = tokio::time::timeout_at(whole.min(heard + idle), body.next()).await;
        let next =
            next.map_err(|_| Problem::timeout(if Instant::now() < whole { idle } else { LONGEST_STREAM }))?;
        let Some(Ok(piece)) = next else { return Ok(()) };
        received += piece.len();
        let fed = reader.feed(&piece, |event| events.push(event));
        if fed.is_err() || received > ANSWER_LIMIT {
            return Err(Problem::garbled("the streamed answer is too long"));
        }
        if !events.is_empty() {
            heard = Instant::now();
        }
        for event in events.drain(..) {
            if take(&event)? {
                return Ok(());
            }
        }
    }
}

async fn within<T>(limit: Duration, work: impl Future<Output = Result<T, Problem>>) -> Result<T, Problem> {
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(Problem::timeout(limit)))
}

pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with("application/json"))
}
