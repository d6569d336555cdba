//! Where segments are kept that could not be applied as a whole: for a person to look at, and never removed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::segment::sync_folder;
use crate::disk::make_folder;

const NAME: &str = "set-aside";

/// Keeps a copy of a segment, durably; answers where. Of the same content one copy is kept.
pub fn keep(journal: &Path, number: u64, segment: &[u8]) -> io::Result<PathBuf> {
    let path = place(journal)?.join(format!("{number:08}-{:08x}", crc32fast::hash(segment)));
    let file: File = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
    (&file).write_all(segment)?;
    file.sync_data()?;
    sync_folder(&journal.join(NAME))?;
    Ok(path)
}

/// Moves what cannot be read out of the way; answers where it is now.
pub fn move_there(journal: &Path, path: &Path) -> io::Result<PathBuf> {
    let folder = place(journal)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut free = (0..).map(|number: u64| folder.join(format!("{name}-unreadable-{number}")));
    let kept = free.find(|path| !path.exists()).unwrap_or_else(|| folder.join("unreadable"));
    fs::rename(path, &kept)?;
    Ok(kept)
}

fn place(journal: &Path) -> io::Result<PathBuf> {
    let folder = journal.join(NAME);
    make_folder(&folder)?;
    Ok(folder)
}
