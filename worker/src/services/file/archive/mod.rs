//! A folder as one file: a `tar.gz`, or a patch of what changed in its repository.

mod about;
mod excludes;
mod patch;
mod root;
mod tarball;

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ports::rpc::{Code, Fault};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use types::calls::{Archive, Scope};
use uuid::Uuid;

use super::super::fault::{bad_request, of_file};
use super::super::git::Repository;
use super::super::place;
use excludes::Excludes;
use tarball::Limits;

/// Archives that are made at one time; others wait.
const AT_ONE_TIME: usize = 2;
const PREFIX: &str = "archive-";
/// An archive that nobody dropped is removed after this time.
const LONGEST_KEPT: Duration = Duration::from_secs(3_600);

pub(super) struct Archives {
    made: Mutex<HashMap<PathBuf, Instant>>,
    permits: Semaphore,
    /// Where archives are made: beside the state, as they may be larger than what there is of `/tmp`.
    folder: PathBuf,
    limits: Limits,
}

pub(super) struct ArchiveRequest {
    pub(super) scope: Scope,
    pub(super) path: String,
    pub(super) format: String,
    pub(super) base_ref: Option<String>,
    pub(super) exclude: Vec<String>,
    pub(super) use_default_excludes: bool,
}

impl Archives {
    pub(super) fn new(folder: PathBuf) -> Self {
        remove_leftovers(&folder);
        Self {
            made: Mutex::default(),
            permits: Semaphore::new(AT_ONE_TIME),
            folder,
            limits: Limits::default(),
        }
    }

    /// # Cancel safety
    /// Packing ends soon after the future was dropped; what it left is removed with abandoned archives.
    pub(super) async fn make(self: Arc<Self>, wanted: ArchiveRequest) -> Result<Archive, Fault> {
        let _permit = self.permits.acquire().await.map_err(Fault::internal)?;
        let folder = folder_of(&wanted)?;
        let folder = root::find(folder).await?;
        let excludes = Excludes::new(&wanted.exclude, wanted.use_default_excludes);
        let name =
            folder.file_name().map_or_else(|| "root".into(), |name| name.to_string_lossy().into_owned());
        let repository = Repository::of(&folder).await?;
        let mut headers = match &repository {
            Some(repository) => about::headers(repository),
            None => serde_json::Map::new(),
        };
        let (path, file) = self.temporary().map_err(Fault::internal)?;
        let (made, extension) = if wanted.format == "tar.gz" {
            let stop = CancellationToken::new();
            let _stops_with_caller = stop.clone().drop_guard();
            let limits = self.limits;
            let work = move || tarball::write(&folder, &excludes, file, limits, &stop);
            let made = tokio::task::spawn_blocking(work).await.map_err(Fault::internal)?;
            (made.map_err(Fault::from), "tar.gz")
        } else {
            let made = match &repository {
                Some(repository) => {
                    patch::write(repository, wanted.base_ref.as_deref(), &excludes, file, &mut headers).await
                }
                None => Err(bad_request(format!("Not a git repository: {}", folder.display()))),
            };
            (made, "patch")
        };
        if let Err(fault) = made {
            self.drop_file(&path.to_string_lossy())?;
            return Err(fault);
        }
        Ok(Archive {
            path: path.to_string_lossy().into_owned(),
            name: format!("{name}.{extension}"),
            headers,
        })
    }

    /// Archives are read without a scope: they are outside every workspace.
    pub(super) fn scope_of(&self, scope: Scope, path: &str) -> Scope {
        if self.lock().contains_key(Path::new(path)) { Scope::default() } else { scope }
    }

    /// Only files made here are removed.
    pub(super) fn drop_file(&self, path: &str) -> Result<(), Fault> {
        let path = Path::new(path);
        let was_made_here = self.lock().remove(path).is_some();
        if was_made_here {
            std::fs::remove_file(path).map_err(Fault::internal)?;
        }
        Ok(())
    }

    pub(super) fn drop_abandoned(&self, all: bool) {
        let abandoned: Vec<_> = self
            .lock()
            .extract_if(|_, made| all || made.elapsed() > LONGEST_KEPT)
            .map(|(path, _)| path)
            .collect();
        for path in abandoned {
            let _ = std::fs::remove_file(path);
        }
    }

    fn temporary(&self) -> io::Result<(PathBuf, File)> {
        use std::os::unix::fs::OpenOptionsExt;
        std::fs::create_dir_all(&self.folder)?;
        let path = self.folder.join(format!("{PREFIX}{}", Uuid::new_v4().simple()));
        let file = File::options().write(true).read(true).create_new(true).mode(0o600).open(&path)?;
        self.lock().insert(path.clone(), Instant::now());
        Ok((path, file))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PathBuf, Instant>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A worker that was killed could not remove its archives.
fn remove_leftovers(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.filter_map(Result::ok) {
        if entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes()) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

fn folder_of(wanted: &ArchiveRequest) -> Result<PathBuf, Fault> {
    if !matches!(wanted.format.as_str(), "tar.gz" | "git-delta") {
        return Err(Fault::new(Code::Invalid, "format must be git-delta or tar.gz"));
    }
    if wanted.base_ref.as_ref().is_some_and(|name| name.starts_with('-')) {
        return Err(bad_request("base_ref must not start with '-'"));
    }
    let folder = place::within(&wanted.scope, Path::new(&wanted.path))?;
    let found = std::fs::metadata(&folder).map_err(|error| of_file(&error, "Path not found"))?;
    if found.is_dir() { Ok(folder) } else { Err(bad_request("Path is not a directory")) }
}
