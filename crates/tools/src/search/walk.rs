//! The files of a folder, and of those in it.
//!
//! Hidden folders and what is ignored are left out, and no link is followed. One folder after the other is read, a piece at
//! a time, so that a search takes little memory in a large tree.

use std::ffi::OsStr;
use std::fs::{self, DirEntry, ReadDir};
use std::path::Path;
use std::sync::Arc;

use super::halt::{Halt, Stop};
use super::rules::Rules;

/// Each level is an open folder.
const DEEPEST: usize = 100;

struct Level {
    entries: ReadDir,
    rules: Option<Arc<Rules>>,
}

/// Shows `visit` each file below `root`. Hidden folders are entered if `names` has them. Folders that cannot be read count as
/// empty.
///
/// # Errors
/// What `visit` says, or `halt`.
pub fn walk(
    root: &Path,
    names: &[&OsStr],
    halt: &Halt,
    mut visit: impl FnMut(&DirEntry) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let mut levels: Vec<Level> = Level::open(root, Rules::above(root)).into_iter().collect();
    while let Some(level) = levels.last_mut() {
        halt.check()?;
        let Some(entry) = level.entries.next() else {
            levels.pop();
            continue;
        };
        let Ok(entry) = entry else { continue };
        let Ok(kind) = entry.file_type() else { continue };
        let path = entry.path();
        if level.rules.as_ref().is_some_and(|rules| rules.leave_out(&path, kind.is_dir())) {
            continue;
        }
        if kind.is_file() {
            visit(&entry)?;
        }
        let name = entry.file_name();
        let is_entered = !is_hidden(&name) || names.contains(&name.as_os_str());
        if kind.is_dir() && is_entered && levels.len() < DEEPEST {
            let rules = levels.last().and_then(|level| level.rules.clone());
            levels.extend(Level::open(&path, rules));
        }
    }
    Ok(())
}

impl Level {
    fn open(folder: &Path, above: Option<Arc<Rules>>) -> Option<Self> {
        let entries = fs::read_dir(folder).ok()?;
        Some(Self { entries, rules: Rules::of(folder, above) })
    }
}

pub fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}
