//! One attempt: the request out, the answer in.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http::header::LOCATION;
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use types::agent::LlmConfig;
use types::model::{Ending, ModelRequest};

use crate::answer::Answer;
use crate::plan::{Plan, Tweaks};
use crate::problem::Problem;
use crate::provider::Dialect;
use crate::reading::{self, Patience};
use crate::refusal::{Adjustment, Adjustments, adjusted};
use crate::retry::{limit, retry_after};
use crate::stream::Announcer;
use crate::text_tools::without_tools;
use crate::transport::{AnswerBody, HttpAnswer, HttpCall, Transport};
use crate::{anthropic, chat, responses};

/// Most bytes of an answer.
pub(crate) const ANSWER_LIMIT: usize = 64 << 20;
/// Most bytes of an error text; the rest is not read.
const ERROR_LIMIT: usize = 64 << 10;
/// How long an error text is waited for.
const ERROR_PATIENCE: Duration = Duration::from_secs(5);

/// Whether tools are told of in words: the user wants it so, or the server takes no others.
pub(crate) fn tools_in_words(llm: &LlmConfig, adjustments: &Adjustments) -> bool {
    !llm.native_tool_calling || adjustments.contains(&Adjustment::ToolsInWords)
}

/// The body of a request, in the dialect of its route.
pub(crate) fn body(
    llm: &LlmConfig,
    plan: &Plan,
    request: &ModelRequest,
    tweaks: Tweaks,
    adjustments: &Adjustments,
) -> Result<Bytes, Problem> {
    let in_words = tools_in_words(llm, adjustments).then(|| without_tools(request));
    let request = in_words.as_ref().unwrap_or(request);
    let tweaks = Tweaks { tools_in_words: in_words.is_some(), ..tweaks };
    let written = match plan.route.dialect {
        Dialect::Chat => chat::body(llm, plan, request, tweaks),
        Dialect::Responses => responses::body(llm, plan, request, tweaks),
        Dialect::Anthropic => anthropic::body(llm, plan, request, tweaks),
    };
    let written = written.map_err(|_| Problem::config("The conversation cannot be written as JSON."))?;
    Ok(adjusted(written, adjustments).into())
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
        let HttpAnswer { headers, body, .. } = within(whole, opened(transport, call)).await?;
        (reading::read(body, dialect, Patience { whole, idle }, out).await?, headers)
    } else {
        let reading = async {
            let HttpAnswer { headers, body, .. } = opened(transport, call).await?;
            Ok((reading::read(body, dialect, Patience { whole, idle: whole }, out).await?, headers))
        };
        within(whole, reading).await?
    };
    if answer.ending == Ending::Withheld && answer.is_empty() {
        return Err(Problem::content_policy());
    }
    Ok((answer, headers))
}

/// Sends and turns every status but success into a problem.
pub(crate) async fn opened(transport: &dyn Transport, call: HttpCall) -> Result<HttpAnswer, Problem> {
    let answer = transport.send(call).await.map_err(|error| Problem::transport(&error))?;
    if answer.status.is_success() {
        return Ok(answer);
    }
    if answer.status.is_redirection() {
        return Err(Problem::elsewhere(answer.status.as_u16(), answer.headers.get(LOCATION)));
    }
    let asked = retry_after(&answer.headers, Timestamp::now());
    Err(refusal(answer.status, answer.body).await.retry_after(asked))
}

async fn refusal(status: StatusCode, mut body: AnswerBody) -> Problem {
    let mut text = Vec::new();
    let reading = async {
        while let Some(Ok(piece)) = body.next().await {
            let room = ERROR_LIMIT.saturating_sub(text.len());
            text.extend(piece.iter().take(room));
            if text.len() >= ERROR_LIMIT {
                break;
            }
        }
    };
    // What has come by then says enough.
    let _ = tokio::time::timeout(ERROR_PATIENCE, reading).await;
    Problem::status(status.as_u16(), &text)
}

pub(crate) async fn within<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, Problem>>,
) -> Result<T, Problem> {
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| Err(Problem::timeout(limit)))
}
