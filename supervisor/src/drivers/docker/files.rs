//! Where sandboxes keep their files: each in a volume of its own, or all in folders of one volume that
//! somebody else made and will remove.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use bollard::Docker;
use bollard::models::{Mount, MountType, VolumeCreateRequest};
use bollard::query_parameters::RemoveVolumeOptionsBuilder;
use ports::{Error, Result};
use tokio::fs;
use tokio::io::AsyncWriteExt;
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
        let mark = match &config.mark {
            Some(own) if config.claims => Some(mark_of(path, own).await?),
            Some(_) => read_mark(&path.join(MARK)).await.map_err(|error| unreadable(path, &error))?,
            None => None,
        };
        if let Some(mark) = mark.filter(|mark| !mark.is_empty()) {
            labels::check_mark(config, &mark)?;
        }
        Ok(Self::Folders { path: path.clone(), source: volume.mountpoint })
    }

    /// Whether there are none of any sandbox, in the folders of one volume.
    pub async fn are_none(&self) -> bool {
        let Self::Folders { path, .. } = self else { return false };
        let Ok(mut folders) = fs::read_dir(path).await else { return false };
        while let Ok(Some(folder)) = folders.next_entry().await {
            if !folder.file_name().to_string_lossy().starts_with(MARK) {
                return false;
            }
        }
        true
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

/// Whose the folders are: that of the cluster that asked first. Nothing is written where that is known: the disk may be full.
async fn mark_of(folders: &Path, own: &str) -> Result<String> {
    let path = folders.join(MARK);
    let marking = async {
        let found = read_mark(&path).await?;
        if let Some(mark) = found.clone().filter(|mark| !mark.is_empty()) {
            return Ok(mark);
        }
        // Nobody else has this name, so that it holds the whole mark whenever it gets the other.
        let draft = folders.join(format!("{MARK}.{}", SandboxId::random()));
        let written = write_mark(&draft, own).await;
        let marked = match (written, found) {
            (Err(error), _) => Err(error),
            (Ok(()), None) => first(&draft, &path, own).await,
            (Ok(()), Some(_lost)) => fs::rename(&draft, &path).await,
        };
        let _ = fs::remove_file(&draft).await;
        match marked {
            // It is asked for room again at the next start; sandboxes have to be deleted before.
            Err(error) if error.kind() == ErrorKind::StorageFull => Ok(own.to_owned()),
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
            _ => Ok(read_mark(&path).await?.unwrap_or_else(|| own.to_owned())),
        }
    };
    marking.await.map_err(|error: io::Error| unreadable(folders, &error))
}

fn unreadable(folders: &Path, error: &io::Error) -> Error {
    Error::Unavailable(format!("{}: {error}", folders.join(MARK).display()))
}

/// Gives the draft the mark's name if nothing has it. Some file systems know no second name: there it is written under its own.
async fn first(draft: &Path, path: &Path, own: &str) -> io::Result<()> {
    match fs::hard_link(draft, path).await {
        Err(error) if matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::StorageFull) => Err(error),
        Err(_) => write_mark(path, own).await,
        Ok(()) => Ok(()),
    }
}

/// Empty where it was lost with the power before it was on the disk.
async fn read_mark(path: &Path) -> io::Result<Option<String>> {
    match fs::read(path).await {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        read => Ok(Some(String::from_utf8_lossy(&read?).trim_matches(['\0', '\n', ' ']).to_owned())),
    }
}

async fn write_mark(draft: &Path, own: &str) -> io::Result<()> {
    let mut file = fs::File::create_new(draft).await?;
    file.write_all(own.as_bytes()).await?;
    file.sync_all().await
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

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[tokio::test]
    async fn folders_are_of_who_asked_first_and_nothing_is_written_to_know_it() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(mark_of(folder.path(), "one").await.unwrap(), "one");
        let handle = std::fs::File::open(folder.path()).unwrap();
        handle.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        for asking in ["one", "other"] {
            assert_eq!(mark_of(folder.path(), asking).await.unwrap(), "one");
        }
        let modified = handle.metadata().unwrap().modified().unwrap();
        assert_eq!(modified, SystemTime::UNIX_EPOCH, "the disk may be full");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn a_mark_that_was_lost_with_the_power_is_none() {
        for left in ["", "\0\0\0"] {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join(MARK), left).unwrap();
            for asking in ["one", "other"] {
                assert_eq!(mark_of(folder.path(), asking).await.unwrap(), "one");
            }
        }
    }

    #[tokio::test]
    async fn where_a_file_has_one_name_only_it_is_written_under_that() {
        let folder = tempfile::tempdir().unwrap();
        let (path, no_such_draft) = (folder.path().join(MARK), folder.path().join("draft"));
        first(&no_such_draft, &path, "one").await.unwrap();
        assert_eq!(read_mark(&path).await.unwrap().as_deref(), Some("one"));
        let second = first(&no_such_draft, &path, "other").await;
        assert_eq!(second.unwrap_err().kind(), ErrorKind::AlreadyExists);
    }

    #[tokio::test]
    async fn two_that_come_at_one_moment_agree() {
        for _ in 0..50 {
            let folder = tempfile::tempdir().unwrap();
            let (one, other) = tokio::join!(mark_of(folder.path(), "one"), mark_of(folder.path(), "other"));
            assert_eq!(one.unwrap(), other.unwrap());
        }
    }
}
