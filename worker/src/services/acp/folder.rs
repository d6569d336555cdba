//! The folder of one question, with what the agent is given as files.
//!
//! It lies where everybody may write, and who owns a folder may put something else in the place of what is in it. So the top and
//! the folder of the data stay the worker's, who may write where commands may not; what is in them is given to the commands' user
//! once all of it is there.

use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tools::hands;
use uuid::Uuid;

const WORKSPACE: &str = "workspace";
const DATA: &str = "data";

/// Others pass through to what is theirs, and see nothing.
const PASSAGE: u32 = 0o711;
const OWN: u32 = 0o700;

/// So long an answer, and the worker's end, wait for a removal.
const REMOVAL: Duration = Duration::from_secs(3);

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

    /// Nobody but the worker gets to what is in it, until it is [given](Folder::give).
    ///
    /// # Errors
    /// Where no folder can be made.
    pub fn make(&self) -> io::Result<Folder> {
        let root = std::env::temp_dir().join(format!("{}{}", self.own, Uuid::new_v4().simple()));
        make(&root, PASSAGE)?;
        make(&root.join(WORKSPACE), OWN)?;
        make(&root.join(DATA), PASSAGE)?;
        Ok(Folder { root })
    }

    /// Removes what earlier workers have left, until `shutdown`. Blocks.
    pub fn sweep(&self, shutdown: &CancellationToken) -> impl FnOnce() + Send + use<> {
        let (kin, own, shutdown) = (self.kin.clone(), self.own.clone(), shutdown.clone());
        move || {
            let listed = std::fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten();
            for entry in listed {
                let name = entry.file_name();
                let name = name.to_string_lossy();
                if !name.starts_with(&kin) || name.starts_with(&own) {
                    continue;
                }
                if let Err(error) = trees::remove_while(&entry.path(), || !shutdown.is_cancelled()) {
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
        match make(&folder, OWN) {
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

    /// Lets commands' user have the workspace and the data. Nothing is made or written after that.
    ///
    /// # Errors
    /// Without the right to give files away.
    pub fn give(&self) -> io::Result<()> {
        hands::give_path(&self.workspace())?;
        std::fs::read_dir(self.root.join(DATA))?.try_for_each(|entry| hands::give_path(&entry?.path()))
    }

    /// Returns after a while also where an agent has left so much that it takes longer; that goes on until `shutdown`, and is the
    /// next worker's then.
    pub async fn remove(self, shutdown: &CancellationToken) {
        let (shutdown, begun) = (shutdown.clone(), Instant::now());
        let removing = move || {
            let goes_on = || begun.elapsed() < REMOVAL || !shutdown.is_cancelled();
            if let Err(error) = trees::remove_while(&self.root, goes_on) {
                tracing::warn!(%error, "what an agent was given for a question is not removed");
            }
        };
        let _ = timeout(REMOVAL, tokio::task::spawn_blocking(removing)).await;
    }
}

/// Of this mode whatever the process is told to take away from it.
fn make(path: &Path, mode: u32) -> io::Result<()> {
    DirBuilder::new().mode(OWN).create(path)?;
    std::fs::set_permissions(path, Permissions::from_mode(mode))
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
    use std::os::unix::fs::MetadataExt;
    use std::process::Command;

    use types::placement::CommandUser;

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
        folder.remove(&CancellationToken::new()).await;
        assert!(!root.exists());
    }

    /// Who may change what is in it.
    fn owner(path: &Path) -> u32 {
        path.metadata().unwrap().uid()
    }

    #[tokio::test]
    async fn nothing_is_commands_users_while_it_is_made_nor_what_leads_to_it_then() {
        let user = CommandUser { uid: 61_234, gid: 61_234 };
        if !rustix::process::geteuid().is_root() {
            return testing::may_skip("the folder of an agent", "nobody can be given anything here");
        }
        hands::choose(user).unwrap();
        let folder = Folders::of(Path::new("/one")).make().unwrap();
        let file = folder.write("a", "auth.json", "a login").unwrap();
        let (data, workspace) = (folder.data("a").unwrap(), folder.workspace());
        for made in [&folder.root, &workspace, &folder.root.join(DATA), &data] {
            assert_eq!(owner(made), 0, "{made:?}");
        }
        folder.give().unwrap();
        for given in [&workspace, &data, &file] {
            assert_eq!(owner(given), user.uid, "{given:?}");
            assert_eq!(given.metadata().unwrap().mode() & 0o077, 0, "{given:?}");
        }
        for passage in [&folder.root, &folder.root.join(DATA)] {
            assert_eq!((owner(passage), passage.metadata().unwrap().mode() & 0o777), (0, 0o711));
        }
        let mut reading = Command::new("cat");
        reading.arg(&file);
        hands::lend(&mut reading);
        assert_eq!(reading.output().unwrap().stdout, b"a login");
        folder.remove(&CancellationToken::new()).await;
    }

    #[tokio::test]
    async fn what_a_killed_worker_has_left_is_removed_by_the_next_one_and_nothing_of_others() {
        let own = Uuid::new_v4().simple().to_string();
        let (first, next) = (Folders::of(Path::new(&own)), Folders::of(Path::new(&own)));
        let other = Folders::of(Path::new("/another")).make().unwrap();
        let left = first.make().unwrap();
        left.write("a", "auth.json", "a login").unwrap();
        let shutdown = CancellationToken::new();
        let sweep = next.sweep(&shutdown);
        let fresh = next.make().unwrap();
        sweep();
        assert!(!left.root.exists() && fresh.root.exists() && other.root.exists());
        other.remove(&shutdown).await;
        fresh.remove(&shutdown).await;
    }

    #[tokio::test]
    async fn the_end_of_a_worker_does_not_wait_for_what_earlier_ones_have_left() {
        let own = Uuid::new_v4().simple().to_string();
        let left = Folders::of(Path::new(&own)).make().unwrap();
        let shutdown = CancellationToken::new();
        shutdown.cancel();
        Folders::of(Path::new(&own)).sweep(&shutdown)();
        assert!(left.root.exists());
        left.remove(&shutdown).await;
    }
}
