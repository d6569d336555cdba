//! A connection with its seat: it ends when its stranger has to make way, and when its peer takes nothing any more.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::{Admission, Ticket};

pub struct Seated<S> {
    stream: S,
    admission: Admission,
    cut_off: CancellationToken,
    /// One for each side: who reads a socket may be another task than who writes on it.
    cut_off_while_reading: CutOff,
    cut_off_while_writing: CutOff,
    write_timeout: Duration,
    /// When a write that waits has waited too long.
    too_long: Option<Pin<Box<Sleep>>>,
    _ticket: Ticket,
}

type CutOff = Pin<Box<WaitForCancellationFutureOwned>>;

impl<S> Seated<S> {
    pub(super) fn new(
        stream: S,
        admission: Admission,
        cut_off: CancellationToken,
        write_timeout: Duration,
        ticket: Ticket,
    ) -> Self {
        Self {
            stream,
            admission,
            cut_off_while_reading: Box::pin(cut_off.clone().cancelled_owned()),
            cut_off_while_writing: Box::pin(cut_off.clone().cancelled_owned()),
            cut_off,
            write_timeout,
            too_long: None,
            _ticket: ticket,
        }
    }

    pub fn admission(&self) -> Admission {
        self.admission.clone()
    }

    /// Cancelled when the stranger has to make way.
    pub fn cut_off(&self) -> CancellationToken {
        self.cut_off.clone()
    }

    /// What comes of a write, unless it is over for this connection.
    fn written<T>(
        &mut self,
        context: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>>
    where
        S: Unpin,
    {
        let is_known = self.admission.is_known();
        if !is_known && self.cut_off_while_writing.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        if let Poll::Ready(outcome) = write(Pin::new(&mut self.stream), context) {
            self.too_long = None;
            return Poll::Ready(outcome);
        }
        let too_long = self.too_long.get_or_insert_with(|| Box::pin(sleep(self.write_timeout)));
        ready!(too_long.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Seated<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let is_known = this.admission.is_known();
        if !is_known && this.cut_off_while_reading.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
        Poll::Ready(this.admission.0.take(buffer.filled().len() - before))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Seated<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().written(context, |stream, context| stream.poll_write(context, buffer))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().written(context, AsyncWrite::poll_flush)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().written(context, AsyncWrite::poll_shutdown)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().written(context, |stream, context| stream.poll_write_vectored(context, buffers))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
