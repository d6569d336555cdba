//! The worker: everything that happens inside one sandbox.
//!
//! It runs the conversations placed there (one actor each, the only writer of the conversation's log) and
//! the workspace services: commands, files, git. It is reached over the bus alone and keeps nothing that
//! cannot be rebuilt from the logs, except live shells.

mod broker;
mod config;
mod conversation;
pub mod services;

use std::time::Duration;

use ports::Ports;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use broker::Broker;
pub use config::Config;

/// How long commands, uploads and git calls may take to end after shutdown.
const SERVICES_DEADLINE: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bus does not take this worker's subscriptions.
    #[error("the worker cannot be reached over the bus")]
    Unreachable(#[from] ports::Error),
}

/// Serves the sandbox's commands until `shutdown`; then pauses runs, ends commands and shells, and returns.
/// Nothing acknowledged is lost when it is dropped instead: a run cut off is closed when its conversation
/// is opened next.
///
/// # Errors
/// [`Error::Unreachable`] when the subscriptions cannot be made.
pub async fn run(
    config: Config,
    ports: Ports,
    models: llm::Client,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let shutdown = shutdown.child_token();
    let _stop_services = shutdown.clone().drop_guard();
    let tracker = TaskTracker::new();
    let services = services::ServicesConfig {
        sandbox: config.sandbox.clone(),
        default_cwd: config.project_dir.clone(),
        bash_retention: config.bash_retention,
    };
    services::serve(services, ports.clone(), tracker.clone(), shutdown.clone()).await?;
    conversation::serve(config, ports, models, shutdown.clone()).await?;
    shutdown.cancel();
    tracker.close();
    if tokio::time::timeout(SERVICES_DEADLINE, tracker.wait()).await.is_err() {
        tracing::warn!(tasks = tracker.len(), "commands do not end in time");
    }
    Ok(())
}
