//! Makes ready what the user has approved.
//!
//! What is compared with the checksum is what is unpacked: it is copied first, into a file without a name that nobody else can
//! reach, and that is gone whatever happens. An artifact that was unpacked before is not fetched again.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ports::rpc::{Fault, Reason};
use sha2::{Digest, Sha256};
use tokio::time::timeout;
use tools::open::{self, Opened, Symlink};
use types::app::{App, AppArtifact, AppState};

use super::approval::Approval;
use super::bounds::Bounds;
use super::folders::{MOST_LEFT, beside, contained_file, entries, is_beside, is_checksum, take_away};
use super::runtime::{Runtime, Slot, parts};
use super::unpack::{self, unpack};
use super::{Service, conflict};

/// How long one who makes something ready waits for another.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) const MOST: u64 = 1 << 30;
pub(super) const WRONG_CHECKSUM: &str = "backend artifact checksum does not match manifest";
pub(super) const TOO_LARGE: &str = "backend artifact exceeds maximum size";
const NO_FILE: &str = "backend artifact is not a contained regular file";

impl Service {
    pub(super) async fn prepare(&self, app: &App, revision: &str) -> Result<AppState, Fault> {
        let slot = self.slot(&app.name)?;
        let Ok((_, artifact, platform)) = parts(app) else { return self.status(app).await };
        // The program itself can be seen, stopped and shown meanwhile.
        let preparing = timeout(PATIENCE, slot.preparing.lock()).await;
        let _preparing =
            preparing.map_err(|_| conflict("another preparation of the backend is under way"))?;
        let life = slot.runtime.lock().await.life;
        if revision != app.revision {
            return Err(conflict("approval revision does not match installed revision"));
        }
        if !is_checksum(&artifact.sha256) {
            return Err(conflict(WRONG_CHECKSUM));
        }
        let folder = self.folders.artifact(&app.name, &artifact.sha256);
        if !folder.is_dir() {
            let making = self.make(app, artifact, folder);
            self.over
                .run_until_cancelled(making)
                .await
                .unwrap_or_else(|| Err(Reason::ShuttingDown.into()))?;
        }
        let approval = Approval::of(app, platform, &artifact.sha256);
        let approved = self.approve(app, &slot, life, &approval).await;
        self.tidy(&app.name, &slot).await;
        approved
    }

    /// `life`: that in which it was made ready.
    async fn approve(
        &self,
        app: &App,
        slot: &Slot,
        life: u64,
        approval: &Approval,
    ) -> Result<AppState, Fault> {
        let runtime = slot.runtime.lock().await;
        if runtime.life != life {
            return Err(conflict("the extension was installed anew or removed meanwhile"));
        }
        let path = self.folders.approval(&app.name);
        if Approval::read(&path).as_ref() != Some(approval) {
            approval.write(&path).map_err(Fault::internal)?;
        }
        Ok(runtime.state(app, &self.folders))
    }

    async fn make(&self, app: &App, artifact: &AppArtifact, folder: PathBuf) -> Result<(), Fault> {
        let packed = self.packed(app, artifact).await?;
        let (strip, bounds) = (artifact.strip_components, Bounds::usual(self.over.clone()));
        let unpacking = move || unpacked(&packed, &folder, strip, &bounds);
        tokio::task::spawn_blocking(unpacking).await.map_err(Fault::internal)?
    }

    /// A copy of the packed artifact, its checksum compared.
    async fn packed(&self, app: &App, artifact: &AppArtifact) -> Result<File, Fault> {
        let parent = self.folders.artifacts(&app.name);
        if let Some(url) = &artifact.url {
            return self.download(url, &artifact.sha256, &parent).await;
        }
        let (package, path) = (PathBuf::from(&app.package), artifact.path.clone());
        let wanted = artifact.sha256.clone();
        let copying = move || {
            let found = contained_file(&package, &path).ok_or_else(|| conflict(NO_FILE))?;
            let Ok(Opened::File(source)) = open::path(&found, Symlink::Refuse) else {
                return Err(conflict(NO_FILE));
            };
            copied(source, &wanted, &parent)
        };
        tokio::task::spawn_blocking(copying).await.map_err(Fault::internal)?
    }

    /// Removes an extension's artifacts but that which is approved and that which runs. One that was made ready just now is not
    /// approved yet: who wants to keep it holds that lock.
    pub(super) async fn tidy(&self, name: &str, slot: &Slot) {
        let unused = self.take_unused(name, &*slot.runtime.lock().await);
        self.remove(unused);
    }

    /// Takes them out of their places, to be removed.
    pub(super) fn take_unused(&self, name: &str, runtime: &Runtime) -> Vec<PathBuf> {
        let approval = Approval::read(&self.folders.approval(name));
        let approved = approval.map(|approval| self.folders.artifact(name, &approval.sha256));
        let runs = runtime.running.as_ref().map(|running| running.artifact.clone());
        let kept = [approved, runs];
        let is_kept = |path: &PathBuf| is_beside(path) || kept.iter().flatten().any(|kept| kept == path);
        let others: Vec<_> =
            entries(&self.folders.artifacts(name)).filter(|path| !is_kept(path)).take(MOST_LEFT).collect();
        others.iter().filter_map(|path| take_away(path).ok().flatten()).collect()
    }
}

fn copied(mut source: File, wanted: &str, folder: &Path) -> Result<File, Fault> {
    let mut copy = nameless(folder).map_err(Fault::internal)?;
    let (mut digest, mut piece, mut received) = (Sha256::new(), vec![0; 1 << 20], 0);
    loop {
        let read = source.read(&mut piece).map_err(Fault::internal)?;
        let Some(read) = piece.get(..read).filter(|read| !read.is_empty()) else { break };
        received += read.len() as u64;
        if received > MOST {
            return Err(conflict(TOO_LARGE));
        }
        digest.update(read);
        copy.write_all(read).map_err(Fault::internal)?;
    }
    if types::hex(&digest.finalize()) != wanted {
        return Err(conflict(WRONG_CHECKSUM));
    }
    Ok(copy)
}

/// A file in a folder, which is made if it is not there; nobody else can open it, and it goes when it is closed.
pub(super) fn nameless(folder: &Path) -> io::Result<File> {
    std::fs::create_dir_all(folder)?;
    let path = beside(&folder.join("file"));
    let file = File::options().read(true).write(true).create_new(true).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

fn refusal(error: unpack::Error) -> Fault {
    match error {
        unpack::Error::Ended => Reason::ShuttingDown.into(),
        error => conflict(error.to_string()),
    }
}

/// Beside its place first: what is in its place is whole.
fn unpacked(mut packed: &File, folder: &Path, strip: usize, bounds: &Bounds) -> Result<(), Fault> {
    let beside = beside(folder);
    std::fs::create_dir(&beside).map_err(Fault::internal)?;
    let done = packed.seek(SeekFrom::Start(0)).map_err(Fault::internal);
    let done = done.and_then(|_| unpack(packed, &beside, strip, bounds).map_err(refusal));
    let done = done.and_then(|()| std::fs::rename(&beside, folder).map_err(Fault::internal));
    if done.is_err()
        && let Err(error) = trees::remove(&beside)
    {
        tracing::warn!(%error, "a part of an artifact is left");
    }
    done
}
