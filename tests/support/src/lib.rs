//! What the black-box tests share: a model that replays a script, a server process of our own, and a client.
//! Everything is real: sockets on loopback, a process, files in a temporary folder.

pub mod client;
mod http;
pub mod model;
pub mod recorded;
pub mod script;
pub mod server;

use std::future::Future;
use std::time::Duration;

/// How long a test waits for something that should be there at once.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Asks `question` until it has an answer.
///
/// # Panics
/// When there is none within [`PATIENCE`]; `what` names what was waited for.
pub async fn eventually<T, F, Q>(what: &str, question: Q) -> T
where
    Q: FnMut() -> F,
    F: Future<Output = Option<T>>,
{
    within(PATIENCE, what, question).await
}

/// The same with a patience of one's own.
///
/// # Panics
/// When there is no answer in time.
pub async fn within<T, F, Q>(patience: Duration, what: &str, mut question: Q) -> T
where
    Q: FnMut() -> F,
    F: Future<Output = Option<T>>,
{
    let deadline = tokio::time::Instant::now() + patience;
    loop {
        if let Some(answer) = question().await {
            return answer;
        }
        assert!(tokio::time::Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
