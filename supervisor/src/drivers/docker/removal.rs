//! The end of a cluster: nothing of it stays on the engine.

use bollard::query_parameters::{RemoveContainerOptionsBuilder, RemoveVolumeOptionsBuilder};
use ports::Result;
use types::SandboxId;

use super::labels::{SANDBOX_LABEL, TRIAL_LABEL};
use super::{Containers, error};
use crate::Driver;

impl Containers {
    /// Removes what is no sandbox's: containers that are left of who was killed, and the workers' programs, which the next
    /// start brings again.
    ///
    /// # Errors
    /// `Unavailable`, also while a sandbox's container has such a program; then it may be repeated.
    pub async fn remove_rest(&self) -> Result<()> {
        self.remove_trials().await?;
        for container in self.containers().await? {
            if container.labels.is_none_or(|labels| !labels.contains_key(SANDBOX_LABEL)) {
                self.remove_container(container.id).await?;
            }
        }
        self.binary.remove(&self.docker).await
    }

    /// Removes what is left of trials that nobody has waited for, with their files.
    pub(super) async fn remove_trials(&self) -> Result<()> {
        for container in self.containers().await? {
            let labels = container.labels.unwrap_or_default();
            let Some(sandbox) = labels.get(TRIAL_LABEL).and_then(|name| SandboxId::parse(name)) else {
                continue;
            };
            self.remove_container(container.id).await?;
            self.remove_files(&sandbox).await?;
        }
        Ok(())
    }

    /// Removes every container and every volume of this cluster, with all files in them. To be called when no
    /// supervisor works any more: it would start anew what the records want.
    ///
    /// # Errors
    /// `Unavailable`; then it may be repeated.
    pub async fn remove_all(&self) -> Result<()> {
        for container in self.containers().await? {
            self.remove_container(container.id).await?;
        }
        for volume in self.volumes().await? {
            let options = RemoveVolumeOptionsBuilder::default().force(true).build();
            error::gone(self.docker.remove_volume(&volume, Some(options)).await)?;
        }
        self.binary.forget().await;
        Ok(())
    }

    async fn remove_container(&self, id: Option<String>) -> Result<()> {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        error::gone(self.docker.remove_container(&id.unwrap_or_default(), Some(options)).await)
    }
}
