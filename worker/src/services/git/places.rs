//! Which places of working trees were made in this sandbox, and of which repositories: a note for each, from before it is made
//! until it is removed. They lie where no agent writes. So whatever becomes of the folder, of the worker or of the gateway
//! that wished for it, it is known what there is to remove.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tools::open::{self, Symlink};
use types::worktree::Place;
use uuid::Uuid;

/// Longer than any making takes, with what waits for it.
const OLD: Duration = Duration::from_secs(3_600);
/// That are told at once.
const MOST: usize = 1_000;
const LONGEST: u64 = 64 * 1024;

pub(super) struct Places {
    /// Has the notes.
    folder: PathBuf,
}

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Note {
    /// The folder that is the place.
    pub(super) folder: PathBuf,
    /// What all working trees of its repository share.
    pub(super) repository: PathBuf,
    /// Whether it is being made or removed: nobody works in a part.
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
        // It is to be known also after a loss of power.
        write(&self.at(place), note)?.sync_all()
    }

    /// Notes it anew, as of now.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) fn note_again(&self, place: Place, note: &Note) -> io::Result<()> {
        // Of no place, should it be left.
        let beside = self.folder.join(format!("{place}.{}", Uuid::new_v4().simple()));
        let noted = write(&beside, note).and_then(|_| fs::rename(&beside, self.at(place)));
        noted.inspect_err(|_| drop(fs::remove_file(&beside)))
    }

    /// What was noted of it; nothing where a crash has cut that off, before anything was made.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) fn noted(&self, place: Place) -> io::Result<Option<Note>> {
        match open::content(&self.at(place), Symlink::Refuse, LONGEST) {
            Ok(note) => {
                let note: Option<Note> = serde_json::from_slice(&note).ok();
                Ok(note.filter(|note| note.folder.ends_with(place.to_string())))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// # Errors
    /// Those of the file system.
    pub(super) fn forget(&self, place: Place) -> io::Result<()> {
        match fs::remove_file(self.at(place)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    /// Those that were noted long ago.
    pub(super) fn old(&self) -> Vec<Place> {
        let Ok(notes) = fs::read_dir(&self.folder) else { return Vec::new() };
        let is_old = |path: &Path| {
            let noted = fs::symlink_metadata(path).and_then(|note| note.modified());
            noted.is_ok_and(|noted| noted.elapsed().is_ok_and(|age| age >= OLD))
        };
        let notes = notes.flatten().filter(|note| is_old(&note.path()));
        notes.filter_map(|note| note.file_name().to_str()?.parse().ok()).take(MOST).collect()
    }

    fn at(&self, place: Place) -> PathBuf {
        self.folder.join(place.to_string())
    }
}

fn write(path: &Path, note: &Note) -> io::Result<File> {
    let mut file = open::fresh(path, 0o600)?;
    file.write_all(&serde_json::to_vec(note)?)?;
    Ok(file)
}
