//! Two connections joined to one, for as long as something passes.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Instant;

/// How long a connection may be open without a word of the worker.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// At its beginning.
    first_word: Duration,
    silence: Duration,
}

impl Default for Patience {
    /// Clients of NATS answer its greeting, and those of a collector ask. NATS and its clients ask each other every two
    /// minutes whether they are there.
    fn default() -> Self {
        Self { first_word: Duration::from_secs(10), silence: Duration::from_secs(10 * 60) }
    }
}

/// Joins a worker with a server until one of them ends, or the worker says nothing.
pub async fn join(worker: UnixStream, mut server: TcpStream, patience: Patience) {
    let heard = Arc::new(Heard { since: Instant::now(), last: AtomicU64::new(0) });
    let mut worker = Listened { inner: worker, heard: heard.clone() };
    let joined = pin!(copy_bidirectional(&mut worker, &mut server));
    // However it ends, both have noticed.
    tokio::select! {
        _ = joined => {}
        () = heard.until_silent(patience) => {}
    }
}

struct Heard {
    since: Instant,
    /// When the worker said something last, in milliseconds; 0: never.
    last: AtomicU64,
}

impl Heard {
    fn note(&self) {
        let at = types::time::millis(self.since.elapsed()).max(1);
        self.last.store(at, Ordering::Relaxed);
    }

    async fn until_silent(&self, patience: Patience) {
        loop {
            let until = match self.last.load(Ordering::Relaxed) {
                0 => self.since + patience.first_word,
                last => self.since + Duration::from_millis(last) + patience.silence,
            };
            if until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }
}

struct Listened<S> {
    inner: S,
    heard: Arc<Heard>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Listened<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.inner).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.heard.note();
        }
        outcome
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Listened<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    const SHORT: Duration = Duration::from_millis(50);

    async fn joined(patience: Patience) -> (UnixStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (worker, inside) = UnixStream::pair().unwrap();
        let outside = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        tokio::spawn(join(inside, outside, patience));
        (worker, listener.accept().await.unwrap().0)
    }

    async fn until_let_go(stream: &mut (impl AsyncRead + Unpin)) {
        // A connection that is cut off is over as well.
        let over = async { while matches!(stream.read(&mut [0; 16]).await, Ok(1..)) {} };
        tokio::time::timeout(testing::PATIENCE, over).await.unwrap();
    }

    #[tokio::test]
    async fn who_says_nothing_does_not_keep_its_place_whatever_it_is_told() {
        let (mut worker, mut server) = joined(Patience { first_word: SHORT, ..Patience::default() }).await;
        let _ = server.write_all(b"INFO").await;
        until_let_go(&mut worker).await;
    }

    #[tokio::test]
    async fn who_has_nothing_to_say_any_more_is_let_go() {
        let (mut worker, mut server) = joined(Patience { silence: SHORT, ..Patience::default() }).await;
        worker.write_all(b"CONNECT").await.unwrap();
        server.read_exact(&mut [0; 7]).await.unwrap();
        until_let_go(&mut server).await;
    }
}
