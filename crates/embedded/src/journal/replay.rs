use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::path::Path;

use super::frame;
use super::segment;
use crate::change::Change;
use crate::disk::{Disk, make_folder};
use crate::place::Place;

/// Does again what the segments in `folder` say; answers their numbers. Doing it twice changes nothing.
///
/// The end of a segment that a crash tore is cut, with a warning.
pub fn replay(folder: &Path, disk: &Disk) -> io::Result<Vec<u64>> {
    let numbers = match segment::numbers(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return make_folder(folder).map(|()| Vec::new());
        }
        numbers => numbers?,
    };
    let mut segments = Vec::new();
    for number in &numbers {
        segments.push(read(folder, *number)?);
    }
    let changes: Vec<Change<'_>> = segments.iter().flat_map(|bytes| changes(bytes)).collect();
    let numbered = || changes.iter().enumerate();
    let last: HashMap<&Place, usize> = numbered().map(|(at, change)| (change.place(), at)).collect();
    let removals = numbered().filter(|(_, change)| matches!(change, Change::Remove { .. }));
    let removed: HashMap<&Place, usize> = removals.map(|(at, change)| (change.place(), at)).collect();
    for (at, change) in numbered() {
        let is_last = last.get(change.place()) == Some(&at);
        match change {
            _ if removed.get(change.place()).is_some_and(|removal| at < *removal) => {}
            Change::Replace { .. } if !is_last => {}
            // What else is in the folder by now belongs to the log that was made after this.
            Change::Remove { place } if !is_last => disk.remove_file(place)?,
            change => redo(disk, change)?,
        }
    }
    disk.forget_open_logs();
    if !changes.is_empty() {
        tracing::info!(changes = changes.len(), "the journal of an unclean end was applied");
    }
    Ok(numbers)
}

/// The good frames of a segment; cuts what follows them.
fn read(folder: &Path, number: u64) -> io::Result<Vec<u8>> {
    let mut bytes = segment::read(folder, number)?;
    let mut good = 0;
    while let Some((_, length)) = bytes.get(good..).and_then(frame::decode) {
        good += length;
    }
    // After the last frame there are zeros, unless a crash tore the next one.
    if bytes.get(good..).is_some_and(|rest| rest.iter().any(|byte| *byte != 0)) {
        let cut = bytes.len() - good;
        tracing::warn!(segment = number, bytes = cut, "the journal ends in a torn frame; it is cut");
        segment::cut(folder, number, good as u64)?;
    }
    bytes.truncate(good);
    Ok(bytes)
}

fn changes(mut bytes: &[u8]) -> Vec<Change<'_>> {
    let mut all = Vec::new();
    while let Some((changes, length)) = frame::decode(bytes) {
        all.extend(changes);
        bytes = bytes.get(length..).unwrap_or_default();
    }
    all
}

fn redo(disk: &Disk, change: &Change<'_>) -> io::Result<()> {
    match disk.redo(change) {
        Err(error) if error.kind() == ErrorKind::InvalidData => {
            tracing::error!(file = %change.place().path, %error, "a change cannot be done again; it is left out");
            Ok(())
        }
        done => done,
    }
}
