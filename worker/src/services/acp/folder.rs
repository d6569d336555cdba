//! The folder of one question, with what the agent is given as files.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use sha2::{Digest, Sha256};
use tools::hands;
use uuid::Uuid;

const WORKSPACE: &str = "workspace";
const DATA: &str = "data";

/// Where the folders of a worker are: where commands' user may go, told apart from those of other workers by their names.
pub(super) struct Folders {
    /// The beginning of their names, also of those of the workers before.
    kin: String,
    own: String,
}

/// Whoever drops it without removing it leaves it to the next worker.
pub(super) struct Folder {
    root: PathBuf,
}

impl Folders {
    /// Of the worker that has the folder `own`.
    pub fn of(own: &Path) -> Self {
        let digest = types::hex(&Sha256::digest(own.as_os_str().as_encoded_bytes()));
        let digest: String = digest.chars().take(16).collect();
        let kin = format!("manyhands-acp-{digest}-");
        // Short: programs may have sockets in their folders, whose paths must not be long.
        Self { own: format!("{kin}{:08x}-", Uuid::new_v4().as_fields().0), kin }
    }

    /// Nobody but the user of commands can enter it.
    ///
    /// # Errors
    /// Where no folder can be made.
    pub fn make(&self) -> io::Result<Folder> {
        let root = std::env::temp_dir().join(format!("{}{}", self.own, Uuid::new_v4().simple()));
        make(&root)?;
        make(&root.join(WORKSPACE))?;
        make(&root.join(DATA))?;
        Ok(Folder { root })
    }

    /// Removes what earlier workers have left. Blocks.
    pub fn sweep(&self) -> impl FnOnce() + Send + use<> {
        let (kin, own) = (self.kin.clone(), self.own.clone());
        move || {
            let listed = std::fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten();
            for entry in listed {
                let name = entry.file_name();
                let name = name.to_string_lossy();
                if !name.starts_with(&kin) || name.starts_with(&own) {
                    continue;
                }
                if let Err(error) = trees::remove(&entry.path()) {
                    tracing::warn!(%error, "what an agent of an earlier worker was given is not removed");
                }
            }
        }
    }
}

impl Folder {
    pub fn workspace(&self) -> PathBuf {
        self.root.join(WORKSPACE)
    }

    /// A folder of this name, made if it is not there.
    ///
    /// # Errors
    /// For what is no name.
    pub fn data(&self, name: &str) -> io::Result<PathBuf> {
        let folder = self.root.join(DATA).join(plain(name)?);
        match make(&folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(folder),
            made => made.map(|()| folder),
        }
    }

    /// A file in such a folder.
    ///
    /// # Errors
    /// For what is no name, or where it cannot be written.
    pub fn write(&self, folder: &str, name: &str, text: &str) -> io::Result<PathBuf> {
        let path = self.data(folder)?.join(plain(name)?);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(text.as_bytes())?;
        hands::give(&file)?;
        Ok(path)
    }

    pub async fn remove(self) {
        let removing = tokio::task::spawn_blocking(move || trees::remove(&self.root)).await;
        if let Ok(Err(error)) = removing {
            tracing::warn!(%error, "what an agent was given for a question is not removed");
        }
    }
}

fn make(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)?;
    hands::give_path(path)
}

/// One name, and no way to another folder.
fn plain(name: &str) -> io::Result<&str> {
    let mut parts = Path::new(name).components();
    match (parts.next(), parts.next()) {
        (Some(Component::Normal(part)), None) if part == name => Ok(name),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "this is no name of a file")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_leads_nowhere_else() {
        let folder = Folders::of(Path::new("/one")).make().unwrap();
        for name in ["", ".", "..", "../x", "/x", "a/b", "a/"] {
            assert!(folder.data(name).is_err() && folder.write("a", name, "x").is_err(), "{name}");
        }
        let path = folder.write("a", "b.json", "x").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "x");
        let root = folder.root.clone();
        folder.remove().await;
        assert!(!root.exists());
    }

    #[tokio::test]
    async fn what_a_killed_worker_has_left_is_removed_by_the_next_one_and_nothing_of_others() {
        let own = Uuid::new_v4().simple().to_string();
        let (first, next) = (Folders::of(Path::new(&own)), Folders::of(Path::new(&own)));
        let other = Folders::of(Path::new("/another")).make().unwrap();
        let left = first.make().unwrap();
        left.write("a", "auth.json", "a login").unwrap();
        let sweep = next.sweep();
        let fresh = next.make().unwrap();
        sweep();
        assert!(!left.root.exists() && fresh.root.exists() && other.root.exists());
        other.remove().await;
        fresh.remove().await;
    }
}
