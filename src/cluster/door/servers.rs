//! Where the door leads: to the first server that answers.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::net::TcpStream;

/// What a server gets to take a connection. One whose machine is gone says nothing for minutes, while workers give up after
/// five seconds, and there may be others.
pub const ANSWERING: Duration = Duration::from_secs(2);

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
        for (index, server) in all.clone().skip(last).chain(all.take(last)) {
            match tokio::time::timeout(ANSWERING, TcpStream::connect(server.as_str())).await {
                Ok(Ok(stream)) => {
                    self.last.store(index, Ordering::Relaxed);
                    return stream.set_nodelay(true).is_ok().then_some(stream);
                }
                Ok(Err(error)) => tracing::debug!(server, %error, "NATS does not answer"),
                Err(_) => tracing::warn!(server, "NATS does not answer in time"),
            }
        }
        None
    }
}
