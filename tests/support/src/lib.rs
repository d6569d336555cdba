//! What the tests share: waits, a model that replays a script, a server process of our own, and clients.
//! Everything is real: sockets on loopback, a process, files in a temporary folder.

pub mod client;
pub mod cluster;
pub mod compose;
pub mod containers;
pub mod engine;
pub mod history;
mod http;
mod may_skip;
pub mod model;
pub mod nats;
pub mod process;
pub mod proxy;
pub mod random;
pub mod receiver;
pub mod recorded;
pub mod script;
pub mod server;
pub mod socket;
mod unprivileged;

use std::panic::Location;
use std::time::Duration;

pub use may_skip::{left_out, may_skip};
use tokio::time::Instant;
pub use unprivileged::passes_unprivileged;

/// How long a test waits for something that should be there at once.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Asks `question` until it has an answer.
///
/// # Panics
/// When there is none within [`PATIENCE`]; `what` names what was waited for.
pub async fn eventually<T>(what: &str, question: impl AsyncFnMut() -> Option<T>) -> T {
    within(PATIENCE, what, question).await
}

/// The same with a patience of one's own.
///
/// # Panics
/// When there is no answer in time.
pub async fn within<T>(patience: Duration, what: &str, mut question: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(answer) = question().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until `holds` does.
///
/// # Panics
/// When it does not within [`PATIENCE`]; the message names the caller.
#[track_caller]
pub fn until(mut holds: impl AsyncFnMut() -> bool) -> impl Future<Output = ()> {
    let caller = Location::caller().to_string();
    async move { eventually(&caller, async || holds().await.then_some(())).await }
}
