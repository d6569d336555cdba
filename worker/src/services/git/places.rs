//! Which places of working trees were made in this sandbox, and of which repositories: a note for each, from before it is made
//! until it is removed. They lie where no agent writes. So whatever becomes of the folder, of the worker or of the gateway
//! that wished for it, it is known what there is to remove.
//!
//! A note is never written over: some file systems have neither the old nor the new one after a loss of power. That a tree is whole
//! is told by an empty file beside it. Should that be lost, so is what was done in the tree in the moments before.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tools::open::{self, Symlink};
use types::worktree::Place;

/// Longer than any making takes, with what waits for it.
const OLD: Duration = Duration::from_secs(3_600);
/// That are told at once.
const MOST: usize = 1_000;
const LONGEST: u64 = 64 * 1024;

pub(super) struct Places {
    /// Has the notes.
    folder: PathBuf,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Note {
    /// The folder that is the place.
    pub(super) folder: PathBuf,
    /// What all working trees of its repository share.
    pub(super) repository: PathBuf,
    /// Whether it is being made or removed: nobody works in a part. As it was noted first.
    #[serde(default)]
    pub(super) is_part: bool,
}

impl Places {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// # Errors
    /// `AlreadyExists`; those of the file system.
    pub(super) fn note(&self, place: Place, note: &Note) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let mut file = open::fresh(&self.at(place), 0o600)?;
        file.write_all(&serde_json::to_vec(note)?)?;
        // It is to be known also after a loss of power.
        file.sync_all()
    }

    /// Notes that it is made.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) fn is_whole(&self, place: Place) -> io::Result<()> {
        open::fresh(&self.whole(place), 0o600).map(drop)
    }

    /// Notes that it is being removed.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) fn is_part(&self, place: Place) -> io::Result<()> {
        removed(&self.whole(place))
    }

    /// Has it be one that was noted now.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) fn renew(&self, place: Place) -> io::Result<()> {
        File::options().write(true).open(self.at(place))?.set_modified(SystemTime::now())
    }

    /// What was noted of it; nothing where a crash has cut that off, before anything was made.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) fn noted(&self, place: Place) -> io::Result<Option<Note>> {
        let note = match open::content(&self.at(place), Symlink::Refuse, LONGEST) {
            Ok(note) => serde_json::from_slice::<Note>(&note).ok(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        let Some(mut note) = note.filter(|note| note.folder.ends_with(place.to_string())) else {
            return Ok(None);
        };
        note.is_part &= !self.whole(place).try_exists()?;
        Ok(Some(note))
    }

    /// # Errors
    /// Those of the file system.
    pub(super) fn forget(&self, place: Place) -> io::Result<()> {
        removed(&self.at(place))?;
        removed(&self.whole(place))
    }

    /// Those that were noted long ago, in their order; the first of those behind `after`.
    pub(super) fn old(&self, after: Option<Place>) -> Vec<Place> {
        let Ok(notes) = fs::read_dir(&self.folder) else { return Vec::new() };
        let is_old = |path: &Path| {
            let noted = fs::symlink_metadata(path).and_then(|note| note.modified());
            noted.is_ok_and(|noted| noted.elapsed().is_ok_and(|age| age >= OLD))
        };
        let places = notes.flatten().filter_map(|note| note.file_name().to_str()?.parse::<Place>().ok());
        let mut behind: Vec<Place> =
            places.filter(|place| after.is_none_or(|after| *place > after)).collect();
        behind.sort_unstable();
        behind.into_iter().filter(|place| is_old(&self.at(*place))).take(MOST).collect()
    }

    fn at(&self, place: Place) -> PathBuf {
        self.folder.join(place.to_string())
    }

    /// The name of no place.
    fn whole(&self, place: Place) -> PathBuf {
        self.folder.join(format!("{place}.whole"))
    }
}

/// Removes a file that may be gone.
fn removed(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
