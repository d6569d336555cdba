//! The end of a cluster: nothing of it stays on the engine.

use bollard::query_parameters::{RemoveContainerOptionsBuilder, RemoveVolumeOptionsBuilder};
use ports::Result;

use super::{Containers, error};

impl Containers {
    /// Removes the workers' programs, which the next start brings again, unless containers are left that have them.
    pub async fn remove_programs(&self) {
        self.binary.remove(&self.docker).await;
    }

    /// Removes every container and every volume of this cluster, with all files in them. To be called when no
    /// supervisor works any more: it would start anew what the records want.
    ///
    /// # Errors
    /// `Unavailable`; then it may be repeated.
    pub async fn remove_all(&self) -> Result<()> {
        for container in self.containers().await? {
            let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
            let id = container.id.unwrap_or_default();
            error::gone(self.docker.remove_container(&id, Some(options)).await)?;
        }
        for volume in self.volumes().await? {
            let options = RemoveVolumeOptionsBuilder::default().force(true).build();
            error::gone(self.docker.remove_volume(&volume, Some(options)).await)?;
        }
        self.binary.forget().await;
        Ok(())
    }
}
