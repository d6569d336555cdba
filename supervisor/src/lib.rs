//! The supervisor: keeps one worker incarnation running for each wanted sandbox.
//!
//! A level-triggered controller: it compares what is wanted with what a [`Driver`] finds running, takes the
//! steps that are missing, and looks again when the driver hints at a change, when a restart is due, or
//! after [`RESYNC`]. It holds no model key and never sees a conversation.

mod allocation;
mod backoff;
mod reconcile;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use ports::{Driver, Ports};
use tokio_util::sync::CancellationToken;
use types::SandboxId;

use reconcile::Reconciler;

/// How long a missed hint can go unnoticed.
pub const RESYNC: Duration = Duration::from_secs(30);

pub struct Config {
    /// The sandboxes that must always run. Embedded mode has one.
    pub always: Vec<SandboxId>,
}

/// Runs until `shutdown`, then stops every unit that is there.
///
/// # Errors
/// When the units cannot be listed or stopped at the end. Failed starts are tried again, with growing waits.
pub async fn run(
    config: Config,
    ports: Ports,
    driver: Arc<dyn Driver>,
    shutdown: CancellationToken,
) -> ports::Result<()> {
    let mut reconciler = Reconciler::new(config.always, ports.kv, driver.clone());
    while !shutdown.is_cancelled() {
        let next = match reconciler.step(Instant::now()).await {
            Ok(next) => next,
            Err(error) => {
                tracing::warn!(%error, "cannot compare wanted and running sandboxes, trying again");
                Duration::from_secs(1)
            }
        };
        tokio::select! {
            () = tokio::time::sleep(next) => {}
            () = driver.changed() => {}
            () = shutdown.cancelled() => {}
        }
    }
    for unit in driver.list().await? {
        driver.stop(&unit).await?;
    }
    Ok(())
}
