//! A folder as one file: a `tar.gz`, or a patch of what changed in its repository.

mod about;
mod excludes;
mod limits;
mod patch;
mod root;
mod tarball;

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use ports::rpc::{Code, Fault};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use types::calls::{Archive, Scope};
use uuid::Uuid;

use super::super::fault::{bad_request, of_file};
use super::super::git::Repository;
use super::super::place;
use excludes::Excludes;
use limits::{Failure, Limits};

/// Archives that are made at one time; others wait.
const AT_ONE_TIME: usize = 2;
const PREFIX: &str = "archive-";
/// An archive that nobody dropped is removed after this time.
const LONGEST_KEPT: Duration = Duration::from_secs(3_600);

pub(super) struct Archives {
    /// By the tickets that whoever asks for them has chosen.
    all: Mutex<HashMap<String, Entry>>,
    permits: Semaphore,
    /// Where archives are made: beside the state, as they may be larger than what there is of `/tmp`.
    folder: PathBuf,
    limits: Limits,
}

/// An archive that is made, or waits to be read.
struct Entry {
    path: PathBuf,
    /// Ends the making.
    stop: CancellationToken,
    since: Instant,
}

pub(super) struct ArchiveRequest {
    pub(super) ticket: String,
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
            all: Mutex::default(),
            permits: Semaphore::new(AT_ONE_TIME),
            folder,
            limits: Limits::default(),
        }
    }

    /// # Cancel safety
    /// Packing ends soon after the future was dropped, and nothing is left of it.
    pub(super) async fn make(self: Arc<Self>, wanted: ArchiveRequest) -> Result<Archive, Fault> {
        let making = self.begin(&wanted.ticket)?;
        let stop = making.stop.clone();
        let made = tokio::select! {
            biased;
            () = stop.cancelled() => return Err(Failure::Abandoned.into()),
            made = self.made(wanted, &making) => made?,
        };
        making.keep();
        Ok(made)
    }

    async fn made(&self, wanted: ArchiveRequest, making: &Making<'_>) -> Result<Archive, Fault> {
        let _permit = self.permits.acquire().await.map_err(Fault::internal)?;
        let excludes = Excludes::new(&wanted.exclude, wanted.use_default_excludes);
        let ArchiveRequest { format, base_ref, .. } = &wanted;
        let (format, base_ref) = (format.clone(), base_ref.clone());
        let folder = blocking(move || folder_of(&wanted)).await?;
        let (limits, stop) = (self.limits, making.stop.clone());
        let folder = root::find(folder, limits, stop.clone()).await?;
        let name =
            folder.file_name().map_or_else(|| "root".into(), |name| name.to_string_lossy().into_owned());
        let repository = Repository::of(&folder).await?;
        let mut headers = match &repository {
            Some(repository) => about::headers(repository),
            None => serde_json::Map::new(),
        };
        let file = making.file().map_err(Fault::internal)?;
        let extension = if format == "tar.gz" {
            blocking(move || Ok(tarball::write(&folder, &excludes, file, limits, &stop)?)).await?;
            "tar.gz"
        } else {
            let Some(repository) = &repository else {
                return Err(bad_request(format!("Not a git repository: {}", folder.display())));
            };
            let place = patch::Place { scratch: &self.folder, limits };
            let writing =
                patch::write(repository, base_ref.as_deref(), &excludes, file, &place, &mut headers);
            let written = tokio::time::timeout(limits.time, writing).await;
            written.unwrap_or_else(|_| Err(Failure::TooSlow(limits.time).into()))?;
            "patch"
        };
        let path = making.path.to_string_lossy().into_owned();
        Ok(Archive { path, name: format!("{name}.{extension}"), headers })
    }

    /// Archives are read without a scope: they are outside every workspace.
    pub(super) fn scope_of(&self, scope: Scope, path: &str) -> Scope {
        let is_archive = self.all.lock().values().any(|entry| entry.path == Path::new(path));
        if is_archive { Scope::default() } else { scope }
    }

    /// Ends the making of an archive, and removes it. One that is not there is no error.
    pub(super) fn end(&self, ticket: &str) -> Result<(), Fault> {
        let Some(entry) = self.all.lock().remove(ticket) else { return Ok(()) };
        entry.end().map_err(Fault::internal)
    }

    pub(super) fn drop_abandoned(&self, all: bool) {
        let is_abandoned = |entry: &Entry| all || entry.since.elapsed() > LONGEST_KEPT;
        let abandoned: Vec<_> = self.all.lock().extract_if(|_, entry| is_abandoned(entry)).collect();
        for (_, entry) in abandoned {
            let _ = entry.end();
        }
    }

    fn begin(&self, ticket: &str) -> Result<Making<'_>, Fault> {
        let path = self.folder.join(format!("{PREFIX}{}", Uuid::new_v4().simple()));
        let stop = CancellationToken::new();
        let mut all = self.all.lock();
        if all.contains_key(ticket) {
            return Err(Fault::new(Code::Invalid, "this archive is made already"));
        }
        all.insert(
            ticket.to_owned(),
            Entry { path: path.clone(), stop: stop.clone(), since: Instant::now() },
        );
        Ok(Making { archives: self, ticket: ticket.to_owned(), path, stop, is_kept: false })
    }
}

impl Entry {
    fn end(self) -> io::Result<()> {
        self.stop.cancel();
        match std::fs::remove_file(&self.path) {
            // It was ended before its file was made.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }
}

/// An archive under way: it is removed unless it is kept.
struct Making<'a> {
    archives: &'a Archives,
    ticket: String,
    path: PathBuf,
    stop: CancellationToken,
    is_kept: bool,
}

impl Making<'_> {
    fn file(&self) -> io::Result<File> {
        std::fs::create_dir_all(&self.archives.folder)?;
        File::options().write(true).read(true).create_new(true).mode(0o600).open(&self.path)
    }

    fn keep(mut self) {
        self.is_kept = true;
    }
}

impl Drop for Making<'_> {
    fn drop(&mut self) {
        if self.is_kept {
            return;
        }
        let _ = self.archives.end(&self.ticket);
        // It may have been ended before its file was made.
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn blocking<T, F>(work: F) -> Result<T, Fault>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, Fault> + Send + 'static,
{
    tokio::task::spawn_blocking(work).await.map_err(Fault::internal)?
}

/// A worker that was killed could not remove its archives.
fn remove_leftovers(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.filter_map(Result::ok) {
        if entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes()) {
            let _ = trees::remove(&entry.path());
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
