//! Where the door leads: to the first server that answers.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::net::TcpStream;

/// What a server gets to take a connection. One whose machine is gone says nothing for minutes, while workers give up after
/// five seconds.
pub const ANSWERING: Duration = Duration::from_secs(2);
/// What it gets before the next one is asked beside it.
pub const HEAD_START: Duration = Duration::from_millis(250);

/// Servers that can stand in for each other.
pub struct Servers {
    addresses: Vec<String>,
    /// Which has answered last: it comes first, so that not everybody waits for those that are gone.
    last: AtomicUsize,
}

impl Servers {
    pub fn new(addresses: Vec<String>) -> Self {
        Self { addresses, last: AtomicUsize::new(0) }
    }

    pub async fn first_that_answers(&self) -> Option<TcpStream> {
        let last = self.last.load(Ordering::Relaxed);
        let all = self.addresses.iter().enumerate();
        let in_turns = all.clone().skip(last).chain(all.take(last));
        let asked = in_turns.zip(0..).map(async |((index, server), place)| {
            tokio::time::sleep(HEAD_START * place).await;
            answer_of(server).await.map(|stream| (index, stream))
        });
        let mut answers = asked.collect::<FuturesUnordered<_>>();
        while let Some(answer) = answers.next().await {
            let Some((index, stream)) = answer else { continue };
            self.last.store(index, Ordering::Relaxed);
            return stream.set_nodelay(true).is_ok().then_some(stream);
        }
        None
    }
}

async fn answer_of(server: &str) -> Option<TcpStream> {
    match tokio::time::timeout(ANSWERING, TcpStream::connect(server)).await {
        Ok(Ok(stream)) => return Some(stream),
        Ok(Err(error)) => tracing::debug!(server, %error, "NATS does not answer"),
        Err(_) => tracing::warn!(server, "NATS does not answer in time"),
    }
    None
}
