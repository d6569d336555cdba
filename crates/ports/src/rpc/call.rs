//! The calling side.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep};
use tracing::{Instrument, info_span};
use types::service::{AnswerTo, Service};

use super::envelope::{Request, read_answer};
use super::{Address, Code, Fault, Reason, traces};
use crate::retry::Backoff;
use crate::{Bus, Error, Parcel};

/// Pauses of a caller that waits for room.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Calls the service at `address` and waits for the answer and its blob.
///
/// # Errors
/// The other side's fault; `Absent` when nobody listens, `Unavailable` when `deadline` passes, `TooLarge` for more
/// than [`crate::LARGEST`].
pub async fn call<S: Service, A: AnswerTo<S>>(
    bus: &dyn Bus,
    address: &Address<S>,
    body: &S,
    blob: Bytes,
    deadline: Duration,
) -> Result<(A, Bytes), Fault> {
    let span = info_span!("rpc.call", otel.kind = "client", subject = address.subject());
    let asking = async {
        let json = Request::write(body, traces::current(), deadline)?;
        let subject = address.subject();
        let answer =
            bus.request(subject, Parcel { json, blob }, deadline).await.map_err(|error| match error {
                Error::NotFound => Fault::from(Reason::Unreachable).caused_by(subject),
                other => other.into(),
            })?;
        Ok((read_answer(&answer.json)?, answer.blob))
    };
    asking.instrument(span).await
}

/// As [`call`], but waits for room until `deadline`: for services that are busy only before they begin.
///
/// # Errors
/// As [`call`].
pub async fn call_patiently<S: Service, A: AnswerTo<S>>(
    bus: &dyn Bus,
    address: &Address<S>,
    body: &S,
    blob: Bytes,
    deadline: Duration,
) -> Result<(A, Bytes), Fault> {
    let give_up = Instant::now() + deadline;
    let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    loop {
        let left = give_up.saturating_duration_since(Instant::now());
        let pause = backoff.pause();
        match call(bus, address, body, blob.clone(), left).await {
            Err(fault) if fault.code == Code::Busy && Instant::now() + pause < give_up => sleep(pause).await,
            outcome => return outcome,
        }
    }
}
