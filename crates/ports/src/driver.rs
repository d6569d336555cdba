use async_trait::async_trait;
use types::{Epoch, SandboxId};

use crate::Result;

/// One incarnation of a sandbox: what should run, and what was found running.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Unit {
    pub sandbox: SandboxId,
    pub epoch: Epoch,
}

/// Starts and stops workers: tasks, processes, containers or pods. Every operation may be repeated: starting
/// what runs and stopping what is gone are successes.
#[async_trait]
pub trait Driver: Send + Sync {
    /// What runs now.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn list(&self) -> Result<Vec<Unit>>;

    /// # Errors
    /// `Unavailable`, `Internal` with the reason of a failed start.
    async fn start(&self, unit: &Unit) -> Result<()>;

    /// Returns when it has ended.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn stop(&self, unit: &Unit) -> Result<()>;

    /// Returns when something may have changed by itself. A hint: changes can be missed.
    ///
    /// # Cancel safety
    /// Dropping it loses at most a hint.
    async fn changed(&self);
}
