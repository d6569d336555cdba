use async_trait::async_trait;
use types::{Epoch, SandboxId};

use crate::Result;

/// The incarnation of a sandbox that should run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitSpec {
    pub sandbox: SandboxId,
    pub epoch: Epoch,
}

/// One that was found running.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    async fn start(&self, spec: &UnitSpec) -> Result<()>;

    /// Returns when it has ended.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn stop(&self, unit: &Unit) -> Result<()>;
}
