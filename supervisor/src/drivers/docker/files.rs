//! Where sandboxes keep their files: each in a volume of its own, or all in folders of one volume that
//! somebody else made and will remove.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use bollard::Docker;
use bollard::models::{Mount, MountType, VolumeCreateRequest};
use bollard::query_parameters::RemoveVolumeOptionsBuilder;
use ports::{Error, Result};
use tokio::fs;
use types::SandboxId;

use super::{Config, error, labels};
use crate::StartError;
use crate::drivers::remove_folder;

/// A volume for the files of all sandboxes.
#[derive(Clone, Debug)]
pub struct SharedVolume {
    pub name: String,
    /// Where this process sees it.
    pub path: PathBuf,
}

/// In such a volume: the mark of the cluster whose it is. No sandbox can have this name.
const MARK: &str = ".mark";

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
    /// `Unavailable` when the engine does not answer, knows no such volume, or it is another cluster's.
    pub async fn find(docker: &Docker, config: &Config) -> Result<Self> {
        let Some(SharedVolume { name, path }) = &config.files else { return Ok(Self::Volumes) };
        let volume = docker.inspect_volume(name).await.map_err(error::port)?;
        if let Some(own) = &config.mark {
            labels::check_mark(config, &mark_of(path, own).await?)?;
        }
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

/// Whose the folders are: that of the cluster that asked first.
async fn mark_of(folders: &Path, own: &str) -> Result<String> {
    let (path, draft) = (folders.join(MARK), folders.join(format!("{MARK}.{own}")));
    let marking = async {
        fs::write(&draft, own).await?;
        let marked = fs::hard_link(&draft, &path).await;
        fs::remove_file(&draft).await?;
        match marked {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => fs::read_to_string(&path).await,
            marked => marked.map(|()| own.to_owned()),
        }
    };
    marking.await.map_err(|error| Error::Unavailable(format!("{}: {error}", path.display())))
}

async fn make_volume(
    docker: &Docker,
    config: &Config,
    sandbox: &SandboxId,
) -> std::result::Result<(), StartError> {
    let (name, labels) = (Some(config.volume(sandbox)), Some(labels::of_sandbox(config, sandbox)));
    let volume = VolumeCreateRequest { name, labels, ..VolumeCreateRequest::default() };
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
