//! Bodies that trickle in. Who sends less than a little in a while holds a connection and a handler for nothing, and is
//! answered 408; a slow line with pauses is not, and neither is who has to wait for us.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::HttpBody;
use hyper::body::{Buf, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

use crate::config::BodyRate;

/// Set once the body of a request has been given up. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct GivenUp(Arc<AtomicBool>);

/// How long nothing may come of a body that may take any time: whoever has gone away without a word is not waited for.
const SILENCE: Duration = Duration::from_secs(60 * 60);

/// A body for which no more is waited than its rate allows. Time that it is not asked for anything does not count.
pub(crate) struct Awaited<B> {
    body: B,
    rate: BodyRate,
    given_up: GivenUp,
    /// How long may still be waited; what comes adds to it.
    left: Duration,
    waiting: Option<Waiting>,
}

struct Waiting {
    since: Instant,
    too_long: Pin<Box<Sleep>>,
}

/// The error in which such a body ends.
#[derive(Debug)]
struct TooSlow;

impl GivenUp {
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl<B> Awaited<B> {
    pub(crate) fn new(body: B, rate: BodyRate, given_up: GivenUp) -> Self {
        let rate = match rate.bytes_per_second {
            0 => BodyRate { patience: SILENCE, ..rate },
            _ => rate,
        };
        Self { body, rate, given_up, left: rate.patience, waiting: None }
    }

    fn note_arrived(&mut self, bytes: usize) {
        let waited = self.waiting.take().map_or(Duration::ZERO, |waiting| waiting.since.elapsed());
        let earned = match self.rate.bytes_per_second {
            0 => self.rate.patience,
            rate => Duration::from_secs_f64(bytes as f64 / f64::from(rate)),
        };
        self.left = (self.left.saturating_sub(waited) + earned).min(self.rate.patience);
    }
}

impl<B: HttpBody + Unpin> HttpBody for Awaited<B>
where
    B::Error: Into<axum::BoxError>,
{
    type Data = B::Data;
    type Error = axum::BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, axum::BoxError>>> {
        let this = self.get_mut();
        if let Poll::Ready(polled) = Pin::new(&mut this.body).poll_frame(context) {
            if let Some(Ok(frame)) = &polled {
                this.note_arrived(frame.data_ref().map_or(0, Buf::remaining));
            }
            return Poll::Ready(polled.map(|frame| frame.map_err(Into::into)));
        }
        let left = this.left;
        let waiting = this
            .waiting
            .get_or_insert_with(|| Waiting { since: Instant::now(), too_long: Box::pin(sleep(left)) });
        if waiting.too_long.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        this.given_up.0.store(true, Ordering::Relaxed);
        Poll::Ready(Some(Err(TooSlow.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl fmt::Display for TooSlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body comes too slowly")
    }
}

impl std::error::Error for TooSlow {}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use bytes::Bytes;
    use futures_util::{StreamExt, stream};
    use http_body_util::BodyExt;

    use super::*;

    const RATE: BodyRate = BodyRate { bytes_per_second: 100, patience: Duration::from_secs(30) };

    /// A body of pieces of `bytes`, each after a `pause`.
    fn pieces(number: usize, bytes: usize, pause: Duration) -> Body {
        let piece = move |_| async move {
            sleep(pause).await;
            Ok::<_, std::convert::Infallible>(Bytes::from(vec![0; bytes]))
        };
        Body::from_stream(stream::iter(0..number).then(piece))
    }

    /// How much of it is read, and whether it is given up.
    async fn read(body: Body, at_each: Duration) -> (usize, bool) {
        read_at(RATE, body, at_each).await
    }

    async fn read_at(rate: BodyRate, body: Body, at_each: Duration) -> (usize, bool) {
        let given_up = GivenUp::default();
        let mut body = Awaited::new(body, rate, given_up.clone());
        let mut read = 0;
        while let Some(Ok(frame)) = body.frame().await {
            read += frame.data_ref().map_or(0, Bytes::len);
            sleep(at_each).await;
        }
        (read, given_up.is_set())
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_trickles_in_is_given_up_though_it_never_stops() {
        let (read, given_up) = read(pieces(1_000, 50, Duration::from_secs(1)), Duration::ZERO).await;
        assert!(given_up && (2_000..5_000).contains(&read), "{read}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_line_with_long_pauses_is_waited_for() {
        let body = pieces(1_000, 2_900, Duration::from_secs(28));
        assert_eq!(read(body, Duration::ZERO).await, (2_900_000, false));
    }

    #[tokio::test(start_paused = true)]
    async fn of_a_body_that_may_take_any_time_only_silence_is_too_long() {
        let (any, moment) = (BodyRate { bytes_per_second: 0, ..RATE }, Duration::from_secs(1));
        let slow = read_at(any, pieces(50, 1, SILENCE - moment), Duration::ZERO).await;
        let silent = read_at(any, pieces(50, 1, SILENCE + moment), Duration::ZERO).await;
        assert_eq!((slow, silent), ((50, false), (0, true)));
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_in_which_nobody_asks_is_not_the_clients() {
        let body = pieces(100, 100, Duration::ZERO);
        assert_eq!(read(body, Duration::from_secs(60)).await, (10_000, false));
    }
}
