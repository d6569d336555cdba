//! Where sandboxes keep their files: each in a volume of its own, or all in folders of one volume that
//! somebody else made and will remove.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::path::PathBuf;

use bollard::Docker;
use bollard::models::{Mount, MountType, VolumeCreateRequest};
use bollard::query_parameters::RemoveVolumeOptionsBuilder;
use ports::{Error, Result};
use tokio::fs;
use types::SandboxId;

use super::{CLUSTER_LABEL, Config, SANDBOX_LABEL, error};
use crate::StartError;
use crate::drivers::remove_folder;

/// A volume for the files of all sandboxes.
#[derive(Clone, Debug)]
pub struct SharedVolume {
    pub name: String,
    /// Where this process sees it.
    pub path: PathBuf,
}

pub enum Files {
    Volumes,
    Folders {
        path: PathBuf,
        /// The same folder as the engine sees it.
        source: String,
    },
}

impl Files {
    /// # Errors
    /// `Unavailable` when the engine does not answer, or knows no such volume.
    pub async fn find(docker: &Docker, config: &Config) -> Result<Self> {
        let Some(SharedVolume { name, path }) = &config.files else { return Ok(Self::Volumes) };
        let volume = docker.inspect_volume(name).await.map_err(error::port)?;
        Ok(Self::Folders { path: path.clone(), source: volume.mountpoint })
    }

    /// Makes room for the files of a sandbox that has none yet.
    ///
    /// # Errors
    /// As [`crate::Driver::start`].
    pub async fn make(
        &self,
        docker: &Docker,
        config: &Config,
        sandbox: &SandboxId,
    ) -> std::result::Result<(), StartError> {
        let Self::Folders { path, .. } = self else { return make_volume(docker, config, sandbox).await };
        match fs::create_dir(path.join(sandbox.as_str())).await {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                tracing::error!(%error, "a sandbox's folder cannot be made");
                Err(StartError::Failed("The sandbox's folder cannot be made.".to_owned()))
            }
            _ => Ok(()),
        }
    }

    pub fn mount(&self, config: &Config, sandbox: &SandboxId) -> Mount {
        let (typ, source) = match self {
            Self::Volumes => (MountType::VOLUME, config.volume(sandbox)),
            Self::Folders { source, .. } => (MountType::BIND, format!("{source}/{sandbox}")),
        };
        Mount {
            typ: Some(typ),
            source: Some(source),
            target: Some(config.paths.workspace.clone()),
            ..Mount::default()
        }
    }

    /// # Errors
    /// `Unavailable` while a container uses them, or when the engine does not answer.
    pub async fn remove(&self, docker: &Docker, config: &Config, sandbox: &SandboxId) -> Result<()> {
        match self {
            Self::Volumes => remove_volume(docker, &config.volume(sandbox)).await,
            Self::Folders { path, .. } => remove_folder(path.join(sandbox.as_str())).await,
        }
    }
}

async fn make_volume(
    docker: &Docker,
    config: &Config,
    sandbox: &SandboxId,
) -> std::result::Result<(), StartError> {
    let labels = HashMap::from([
        (CLUSTER_LABEL.to_owned(), config.cluster.clone()),
        (SANDBOX_LABEL.to_owned(), sandbox.to_string()),
    ]);
    let name = Some(config.volume(sandbox));
    let volume = VolumeCreateRequest { name, labels: Some(labels), ..VolumeCreateRequest::default() };
    docker.create_volume(volume).await.map(drop).map_err(|error| error::start(error, ""))
}

async fn remove_volume(docker: &Docker, name: &str) -> Result<()> {
    let options = RemoveVolumeOptionsBuilder::default().force(true).build();
    match docker.remove_volume(name, Some(options)).await {
        Err(error) if error::status(&error) == Some(409) => {
            Err(Error::Unavailable("a container still uses the volume".to_owned()))
        }
        removed => error::gone(removed),
    }
}
