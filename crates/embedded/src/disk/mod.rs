//! The real files, and the changes made to them.

mod log_file;
mod open_logs;
#[cfg(test)]
mod tests;
mod trash;

use std::collections::{HashMap, HashSet};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use log_file::LogFile;
use open_logs::{LastLine, LogPaths, OpenLogs};
use parking_lot::Mutex;
use trash::Trash;

use crate::change::Change;
use crate::options::Options;
use crate::place::{Area, Place};

const DRAFTS: &str = "drafts";

/// The data folders. Changes come from the journal's thread only; anyone may read.
pub struct Disk {
    root: PathBuf,
    conversations: PathBuf,
    bash_events: PathBuf,
    drafts: PathBuf,
    next_draft: AtomicU64,
    logs: OpenLogs,
    /// The logs that have lost their front since the last checkpoint, and where each begins by its note.
    fronts: Mutex<HashMap<Place, u64>>,
    trash: Trash,
    /// A folder of each; open from the start, so that no failure to write is told to somebody else only.
    file_systems: Vec<File>,
    #[cfg(test)]
    before_next_sync: Mutex<Option<BeforeSync>>,
}

#[cfg(test)]
type BeforeSync = Box<dyn FnOnce() -> io::Result<()> + Send>;

impl Disk {
    /// Makes the folders that are missing and throws unfinished drafts away.
    pub fn open(options: &Options) -> io::Result<Self> {
        let drafts = options.root.join(DRAFTS);
        for folder in [&options.root, &options.conversations, &options.bash_events, &drafts] {
            make_folder(folder)?;
        }
        for draft in fs::read_dir(&drafts)? {
            let draft = draft?.path();
            if let Err(error) = trees::remove(&draft) {
                tracing::warn!(draft = %draft.display(), %error, "an unfinished draft stays");
            }
        }
        Ok(Self {
            root: options.root.clone(),
            conversations: options.conversations.clone(),
            bash_events: options.bash_events.clone(),
            drafts,
            next_draft: AtomicU64::new(0),
            logs: OpenLogs::default(),
            fronts: Mutex::default(),
            trash: Trash::open(&options.conversations)?,
            file_systems: file_systems(options)?,
            #[cfg(test)]
            before_next_sync: Mutex::default(),
        })
    }

    pub fn path(&self, place: &Place) -> PathBuf {
        let folder = match place.area {
            Area::Root => &self.root,
            Area::Conversations => &self.conversations,
            Area::BashEvents => &self.bash_events,
        };
        folder.join(&place.path)
    }

    pub fn in_root(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// A log, or `None` if it is absent. Its torn last line, if it has one, is cut.
    pub fn log(&self, place: &Place) -> io::Result<Option<Arc<LogFile>>> {
        self.logs.get(place, &self.log_paths(place), LastLine::CutIfTorn)
    }

    fn log_paths(&self, place: &Place) -> LogPaths {
        LogPaths { log: self.path(place), start: self.path(&Place::start_of(place)) }
    }

    /// The names of the logs whose files are in a folder, which need not be there.
    pub fn logs_in(&self, folder: &Place) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(self.path(folder)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            let name = name.to_str().and_then(|name| name.strip_suffix(".jsonl"));
            names.extend(name.filter(|name| name.starts_with('_')).map(str::to_owned));
        }
        Ok(names)
    }

    /// The tail of a log that is open already, or known to be absent, without touching the disk.
    pub fn known_tail(&self, place: &Place) -> Option<u64> {
        self.logs.known_tail(place)
    }

    /// Does a change. On an error the file is as it was.
    pub fn apply(&self, change: &Change<'_>) -> io::Result<()> {
        match change {
            Change::Append { place, offset, bytes } => {
                self.log_to_write(place, LastLine::CutIfTorn)?.write(*offset, bytes)
            }
            Change::Replace { place, bytes } => self.replace(&self.path(place), bytes),
            Change::Remove { place } => self.remove(place),
            Change::Truncate { place, first_kept } => self.truncate(place, *first_kept, LastLine::CutIfTorn),
        }
    }

    /// Does a change that may have been done before, wholly or in part. What is there already is written once more, as
    /// it may be shown and yet not be on the disk; that this fails, as it may on a full disk, is no error.
    ///
    /// Where a log ends before what is to be appended, somebody has cut it, and the change is refused; but where no more
    /// is missing than the `lost` bytes that the journal does not know any more, records that say nothing take their
    /// place, so that what follows stays where it was.
    pub fn redo(&self, change: &Change<'_>, lost: u64) -> io::Result<()> {
        match change {
            Change::Append { place, offset, bytes } => {
                let log = self.log_to_write(place, LastLine::AsItIs)?;
                if log.has(*offset, bytes)? {
                    let _ = log.write_again(*offset, bytes);
                    return Ok(());
                }
                log.fill(*offset, lost)?;
                log.write(*offset, bytes)
            }
            Change::Replace { place, bytes } => match fs::read(self.path(place)) {
                Ok(there) if there == *bytes => {
                    let _ = self.apply(change);
                    Ok(())
                }
                _ => self.apply(change),
            },
            Change::Remove { .. } => self.apply(change),
            Change::Truncate { place, first_kept } => self.truncate(place, *first_kept, LastLine::AsItIs),
        }
    }

    fn log_to_write(&self, place: &Place, last_line: LastLine) -> io::Result<Arc<LogFile>> {
        let paths = self.log_paths(place);
        match self.logs.get(place, &paths, last_line)? {
            Some(log) => Ok(log),
            None => self.logs.create(place, &paths),
        }
    }

    /// Hides the front of a log; its room comes back with the next checkpoint.
    fn truncate(&self, place: &Place, first_kept: u64, last_line: LastLine) -> io::Result<()> {
        let Some(log) = self.logs.get(place, &self.log_paths(place), last_line)? else { return Ok(()) };
        let start = log.new_start(first_kept)?.unwrap_or(log.start());
        if start == 0 {
            return Ok(());
        }
        // Also where this is known: the disk may not have taken the note.
        self.replace(&self.path(&Place::start_of(place)), format!("{start}\n").as_bytes())?;
        log.drop_before(start);
        self.fronts.lock().insert(place.clone(), start);
        Ok(())
    }

    /// Removes a file; of a conversation, its whole folder.
    fn remove(&self, place: &Place) -> io::Result<()> {
        self.fronts.lock().remove(place);
        let path = self.path(place);
        let Some(folder) = path.parent().filter(|_| place.area == Area::Conversations) else {
            return self.remove_file(place);
        };
        self.logs.remove(place, || self.trash.take(folder)).or_else(|error| {
            // The log is what was asked for; the rest is only untidy.
            tracing::warn!(folder = %folder.display(), %error, "what is left of a conversation stays");
            self.remove_file(place)
        })
    }

    /// Removes one file and nothing around it.
    pub fn remove_file(&self, place: &Place) -> io::Result<()> {
        self.fronts.lock().remove(place);
        let LogPaths { log, start } = self.log_paths(place);
        self.logs.remove(place, || [log, start].iter().try_for_each(|path| trees::remove(path)))
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let draft = self.draft();
        let replaced = write_new(&draft, bytes).and_then(|_| move_to(&draft, path));
        replaced.inspect_err(|_| drop(fs::remove_file(&draft)))
    }

    fn draft(&self) -> PathBuf {
        self.drafts.join(self.next_draft.fetch_add(1, Ordering::Relaxed).to_string())
    }

    pub fn forget_open_logs(&self) {
        self.logs.clear();
    }

    /// Makes every change so far durable. Then gives back the room of what was dropped before: earlier, a crash could
    /// take back the dropping and find holes.
    pub fn sync(&self) -> io::Result<()> {
        let fronts = std::mem::take(&mut *self.fronts.lock());
        if let Err(error) = self.sync_file_systems() {
            let mut newer = self.fronts.lock();
            for (place, start) in fronts {
                newer.entry(place).or_insert(start);
            }
            return Err(error);
        }
        for (place, start) in fronts {
            let released =
                self.log(&place).and_then(|log| log.map_or(Ok(()), |log| log.release_front(start)));
            if let Err(error) = released {
                tracing::warn!(log = %place.path, %error, "the room of what was dropped from a log is not given back");
            }
        }
        Ok(())
    }

    /// What is free of the file system that has least.
    pub fn room(&self) -> io::Result<u64> {
        let mut least = u64::MAX;
        for folder in &self.file_systems {
            let system = rustix::fs::fstatvfs(folder)?;
            least = least.min(system.f_bavail.saturating_mul(system.f_frsize));
        }
        Ok(least)
    }

    fn sync_file_systems(&self) -> io::Result<()> {
        #[cfg(test)]
        if let Some(before) = self.before_next_sync.lock().take() {
            before()?;
        }
        // All of them, also after a failure: each tells of it once.
        let mut outcome = Ok(());
        for folder in &self.file_systems {
            if let Err(error) = rustix::fs::syncfs(folder) {
                outcome = Err(error.into());
            }
        }
        outcome
    }

    /// Has a test do something before the next sync, or have it fail.
    #[cfg(test)]
    pub fn before_next_sync(&self, work: impl FnOnce() -> io::Result<()> + Send + 'static) {
        *self.before_next_sync.lock() = Some(Box::new(work));
    }

    /// Ends what goes on in the background.
    pub fn leave(&self) {
        self.trash.close();
    }
}

fn file_systems(options: &Options) -> io::Result<Vec<File>> {
    let (mut folders, mut devices) = (Vec::new(), HashSet::new());
    for path in [&options.root, &options.conversations, &options.bash_events] {
        let folder = File::open(path)?;
        if devices.insert(folder.metadata()?.dev()) {
            folders.push(folder);
        }
    }
    Ok(folders)
}

pub fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

pub fn absent_is_fine(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<File> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    Ok(file)
}

fn move_to(draft: &Path, path: &Path) -> io::Result<()> {
    match fs::rename(draft, path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            path.parent().map_or(Ok(()), make_folder)?;
            fs::rename(draft, path)
        }
        other => other,
    }
}
