//! The end of a cluster: nothing of it stays on the engine.

use std::time::{Duration, Instant};

use bollard::models::ContainerSummary;
use bollard::query_parameters::{RemoveContainerOptionsBuilder, RemoveVolumeOptionsBuilder};
use ports::Result;
use tokio::time::sleep;
use types::SandboxId;

use super::labels::{Labels, SANDBOX_LABEL, TRIAL_LABEL, said};
use super::{Containers, error};
use crate::Driver;

/// Between two looks at whether a trial is over.
const LOOKING: Duration = Duration::from_millis(200);

impl Containers {
    /// Removes what is no sandbox's: containers that are left of who was killed, and the workers' programs, which the next
    /// start brings again.
    ///
    /// # Errors
    /// `Unavailable`, also while a sandbox's container has such a program; then it may be repeated.
    pub async fn remove_rest(&self) -> Result<()> {
        self.remove_trials(self.trials().await?).await?;
        for container in self.containers().await? {
            let is_sandboxs = |labels: &Labels| said(labels, SANDBOX_LABEL).is_some();
            if !container.labels.as_ref().is_some_and(is_sandboxs) {
                self.remove_container(container.id.unwrap_or_default()).await?;
            }
        }
        self.binary.remove(&self.docker).await
    }

    /// Removes what is left of trials that nobody has waited for, with their files; whoever tries at this moment removes his own.
    pub(super) async fn remove_left_trials(&self) -> Result<()> {
        let (mut left, give_up) = (self.trials().await?, Instant::now() + 2 * self.config.trying);
        while !left.is_empty() && Instant::now() < give_up {
            sleep(LOOKING).await;
            let there = self.trials().await?;
            left.retain(|trial| there.contains(trial));
        }
        self.remove_trials(left).await
    }

    async fn remove_trials(&self, trials: Vec<(String, SandboxId)>) -> Result<()> {
        for (container, sandbox) in trials {
            self.remove_container(container).await?;
            self.remove_files(&sandbox).await?;
        }
        Ok(())
    }

    /// The containers that are only tried, each with the sandbox that it plays.
    async fn trials(&self) -> Result<Vec<(String, SandboxId)>> {
        let trial = |found: ContainerSummary| {
            let labels = found.labels?;
            let is_sandboxs = said(&labels, SANDBOX_LABEL).is_some();
            let sandbox = said(&labels, TRIAL_LABEL).filter(|_| !is_sandboxs)?;
            Some((found.id?, SandboxId::parse(sandbox)?))
        };
        Ok(self.containers().await?.into_iter().filter_map(trial).collect())
    }

    /// Removes every container and every volume of this cluster, with all files in them. To be called when no
    /// supervisor works any more: it would start anew what the records want.
    ///
    /// # Errors
    /// `Unavailable`; then it may be repeated.
    pub async fn remove_all(&self) -> Result<()> {
        for container in self.containers().await? {
            self.remove_container(container.id.unwrap_or_default()).await?;
        }
        for volume in self.volumes().await? {
            let options = RemoveVolumeOptionsBuilder::default().force(true).build();
            error::gone(self.docker.remove_volume(&volume, Some(options)).await)?;
        }
        self.binary.forget().await;
        Ok(())
    }

    async fn remove_container(&self, id: String) -> Result<()> {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        error::gone(self.docker.remove_container(&id, Some(options)).await)
    }
}
