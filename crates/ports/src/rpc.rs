//! Request and answer over the bus: one JSON envelope, a blob beside it.
//!
//! `{v, id, deadline_ms, traceparent?, body}` → `{v, id, body}` or `{v, id, error: {code, message}}`.

use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tracing::{Instrument, Span, info_span};

use crate::{Bus, Delivery, Error, Message, Parcel};

const VERSION: u8 = 1;

/// How calls carry traces from process to process. Without it they carry none.
pub struct Traces {
    /// The running span, as W3C `traceparent`; `None` outside of a trace.
    pub current: fn() -> Option<String>,
    /// Makes a span that was not entered yet part of the caller's trace.
    pub adopt: fn(&Span, &str),
}

static TRACES: OnceLock<Traces> = OnceLock::new();

/// Has all calls of this process carry traces. The first one to say how is obeyed.
pub fn carry_traces(traces: Traces) {
    // Who comes later would say the same.
    let _ = TRACES.set(traces);
}

/// Why the other side did not do it; each code has one HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    BadRequest,
    Forbidden,
    NotFound,
    Conflict,
    Invalid,
    Busy,
    Unavailable,
    /// Nobody is there to take the call: it was not done, and may be repeated.
    Absent,
    /// There is no room for it until something is removed.
    Full,
    Internal,
}

/// The message is for the client, except under `Internal`, where it is for the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code:?}: {message}")]
pub struct Fault {
    pub code: Code,
    pub message: String,
}

impl Fault {
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    #[must_use]
    pub fn internal(error: impl std::fmt::Display) -> Self {
        Self::new(Code::Internal, error.to_string())
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        match error {
            Error::Conflict { .. } => Self::new(Code::Conflict, "changed by somebody else meanwhile"),
            Error::NotFound => Self::new(Code::NotFound, "Not Found"),
            Error::Unavailable(why) => Self::new(Code::Unavailable, why),
            Error::Full(why) => Self::new(Code::Full, why),
            Error::Internal(why) => Self::new(Code::Internal, why),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Request<T> {
    v: u8,
    id: String,
    deadline_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    traceparent: Option<String>,
    body: T,
}

#[derive(Serialize, Deserialize)]
struct Answer<T> {
    v: u8,
    id: String,
    #[serde(default = "Option::default", skip_serializing_if = "Option::is_none")]
    body: Option<T>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<Fault>,
}

/// Calls `subject` and waits for the answer and its blob.
///
/// # Errors
/// The other side's fault; `Absent` when nobody listens, `Unavailable` when `deadline` passes.
pub async fn call<Q, A>(
    bus: &dyn Bus,
    subject: &str,
    body: &Q,
    blob: Bytes,
    deadline: Duration,
) -> Result<(A, Bytes), Fault>
where
    Q: Serialize + Sync,
    A: DeserializeOwned,
{
    let span = info_span!("rpc.call", otel.kind = "client", subject);
    call_traced(bus, subject, body, blob, deadline).instrument(span).await
}

async fn call_traced<Q, A>(
    bus: &dyn Bus,
    subject: &str,
    body: &Q,
    blob: Bytes,
    deadline: Duration,
) -> Result<(A, Bytes), Fault>
where
    Q: Serialize + Sync,
    A: DeserializeOwned,
{
    let id = uuid::Uuid::new_v4().simple().to_string();
    let traceparent = TRACES.get().and_then(|traces| (traces.current)());
    let deadline_ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
    let json = serde_json::to_vec(&Request { v: VERSION, id, deadline_ms, traceparent, body })
        .map_err(Fault::internal)?;
    let parcel = Parcel { json: json.into(), blob };
    let answer = bus.request(subject, parcel, deadline).await.map_err(|error| match error {
        Error::NotFound => Fault::new(Code::Absent, format!("nobody answers on {subject}")),
        other => other.into(),
    })?;
    let envelope: Answer<A> = serde_json::from_slice(&answer.json).map_err(Fault::internal)?;
    match (envelope.body, envelope.error) {
        (_, Some(fault)) => Err(fault),
        (Some(body), None) => Ok((body, answer.blob)),
        // `null` is a body too: that of calls which only succeed.
        (None, None) => serde_json::from_str("null").map(|body| (body, answer.blob)).map_err(Fault::internal),
    }
}

/// A served call: its body and blob, and the subject it came on.
pub struct Call<Q> {
    pub subject: String,
    pub body: Q,
    pub blob: Bytes,
}

/// Answers every call on `pattern` with `handler`, each in a task of its own, until the subscription ends.
///
/// # Errors
/// `Unavailable` when the subscription cannot be made.
pub async fn serve<Q, A, H, F>(
    bus: Arc<dyn Bus>,
    pattern: &str,
    group: Option<&str>,
    handler: H,
) -> crate::Result<impl Future<Output = ()> + Send + use<Q, A, H, F>>
where
    Q: DeserializeOwned + Send + 'static,
    A: Serialize + Send + 'static,
    H: Fn(Call<Q>) -> F + Send + Sync + Clone + 'static,
    F: Future<Output = Result<(A, Bytes), Fault>> + Send + 'static,
{
    let mut calls = bus.subscribe(pattern, group).await?;
    Ok(async move {
        while let Some(delivery) = calls.next().await {
            let Delivery::Message(message) = delivery else { continue };
            tokio::spawn(answer_one(bus.clone(), message, handler.clone()));
        }
    })
}

async fn answer_one<Q, A, H, F>(bus: Arc<dyn Bus>, message: Message, handler: H)
where
    Q: DeserializeOwned + Send,
    A: Serialize + Send,
    H: Fn(Call<Q>) -> F + Send,
    F: Future<Output = Result<(A, Bytes), Fault>> + Send,
{
    let Some(reply) = message.reply else { return };
    let (id, outcome) = match serde_json::from_slice::<Request<Q>>(&message.parcel.json) {
        Ok(request) => {
            let span = info_span!("rpc.serve", otel.kind = "server", subject = %message.subject);
            if let (Some(traces), Some(caller)) = (TRACES.get(), &request.traceparent) {
                (traces.adopt)(&span, caller);
            }
            let call = Call { subject: message.subject, body: request.body, blob: message.parcel.blob };
            (request.id, handler(call).instrument(span).await)
        }
        Err(error) => (String::new(), Err(Fault::new(Code::Invalid, format!("not a call: {error}")))),
    };
    let (answer, blob) = match outcome {
        Ok((body, blob)) => (Answer { v: VERSION, id, body: Some(body), error: None }, blob),
        Err(fault) => (Answer { v: VERSION, id, body: None, error: Some(fault) }, Bytes::new()),
    };
    let Ok(json) = serde_json::to_vec(&answer) else { return };
    // A caller that has gone away is no concern of the answerer.
    let _ = bus.publish(&reply, Parcel { json: json.into(), blob }).await;
}
