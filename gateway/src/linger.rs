//! Bodies of requests that are answered before they have been read. Were the connection closed at once, the
//! answer could get lost on the way; so the rest is still read for a while, and thrown away.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::HttpBody;
use http_body_util::BodyExt;
use hyper::body::{Buf, Frame, SizeHint};
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

const LONGEST: Duration = Duration::from_secs(3);
const MOST: usize = 64 * 1024 * 1024;

/// A body that is read on in `tasks` when it is dropped before its end.
pub(crate) struct Lingering<B: HttpBody + Unpin + Send + 'static> {
    body: Option<B>,
    tasks: TaskTracker,
}

impl<B: HttpBody + Unpin + Send + 'static> Lingering<B> {
    pub(crate) fn new(body: B, tasks: TaskTracker) -> Self {
        Self { body: Some(body), tasks }
    }
}

impl<B: HttpBody + Unpin + Send + 'static> HttpBody for Lingering<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(context);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.body = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl<B: HttpBody + Unpin + Send + 'static> Drop for Lingering<B> {
    fn drop(&mut self) {
        let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) else { return };
        // None while the runtime itself ends.
        if let Ok(runtime) = Handle::try_current() {
            self.tasks.spawn_on(tokio::time::timeout(LONGEST, discard(body)), &runtime);
        }
    }
}

async fn discard(mut body: impl HttpBody + Unpin) {
    let mut left = MOST;
    while let Some(Ok(frame)) = body.frame().await {
        left = left.saturating_sub(frame.data_ref().map_or(0, Buf::remaining));
        if left == 0 {
            return;
        }
    }
}
