//! Does again what the journal says: at a start, and when the disk has failed to take it.
//!
//! Nothing a segment says may keep the store from starting, as some of it was made by strangers. A change that cannot
//! be done to its file is left out, and a place that was damaged is passed over; in both cases the segment is kept in
//! `set-aside`, and the log says what and where. Only what has nothing to do with one file (a full disk, no
//! descriptors, a journal of a newer release) ends the start, before anything is lost.

use std::collections::{HashMap, HashSet};
use std::io::{self, ErrorKind};
use std::path::Path;

use rustix::io::Errno;

use super::frame;
use super::scan::{Scan, scan};
use super::{aside, segment};
use crate::change::Change;
use crate::disk::{Disk, Gap, make_folder};
use crate::place::Place;

/// Why the segments are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    Start,
    /// The system may have dropped what it was given to write, although it still shows it.
    FailedSync,
}

struct Segment {
    number: u64,
    bytes: Vec<u8>,
    scan: Scan,
}

/// A change, and where in the journal it stands.
struct Located<'a> {
    number: u64,
    position: usize,
    change: Change<'a>,
}

/// Does again what the segments in `folder` say; answers their numbers. Doing it twice changes nothing.
///
/// The end of the last segment, if a crash tore it, is cut, with a warning.
pub fn replay(folder: &Path, disk: &Disk) -> io::Result<Vec<u64>> {
    let numbers = match segment::numbers(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return make_folder(folder).map(|()| Vec::new());
        }
        numbers => numbers?,
    };
    let done = do_again(folder, &numbers, disk, Occasion::Start)?;
    disk.forget_open_logs();
    if done > 0 {
        tracing::info!(changes = done, "the journal of an unclean end was applied");
    }
    Ok(numbers)
}

/// Does again what these segments say, oldest first; answers how many changes they say.
pub fn do_again(folder: &Path, numbers: &[u64], disk: &Disk, occasion: Occasion) -> io::Result<usize> {
    let mut segments = Vec::new();
    for number in numbers {
        segments.extend(read(folder, *number, numbers.last() == Some(number))?);
    }
    let gap = match segments.iter().all(|segment| segment.scan.damaged.is_empty()) {
        true => Gap::IsRefused,
        false => Gap::IsFilled,
    };
    let (changes, mut kept) = (changes(folder, &segments)?, HashSet::new());
    let numbered = || changes.iter().enumerate();
    let last: HashMap<&Place, usize> = numbered().map(|(at, one)| (one.change.place(), at)).collect();
    let removals = numbered().filter(|(_, one)| matches!(one.change, Change::Remove { .. }));
    let removed: HashMap<&Place, usize> = removals.map(|(at, one)| (one.change.place(), at)).collect();
    for (at, Located { number, position, change }) in numbered() {
        let is_last = last.get(change.place()) == Some(&at);
        let done = match change {
            _ if removed.get(change.place()).is_some_and(|removal| at < *removal) => Ok(()),
            Change::Replace { .. } if !is_last => Ok(()),
            // What is in the folder by now may be of a conversation that is being made.
            Change::Remove { .. } if occasion == Occasion::FailedSync => Ok(()),
            // What else is in the folder by now belongs to the log that was made after this.
            Change::Remove { place } if !is_last => disk.remove_file(place),
            change => disk.redo(change, gap),
        };
        match done {
            Err(error) if is_of_the_machine(&error) => return Err(error),
            Err(error) => {
                let file = disk.path(change.place());
                tracing::error!(
                    segment = number, position, file = %file.display(), %error,
                    "a change of the journal cannot be done to its file; it is left out, and its segment is set aside"
                );
                if kept.insert(*number) {
                    keep(folder, *number, &segments)?;
                }
            }
            Ok(()) => {}
        }
    }
    Ok(changes.len())
}

fn read(folder: &Path, number: u64, is_last: bool) -> io::Result<Option<Segment>> {
    let path = segment::path(folder, number);
    let bytes = match std::fs::read(&path) {
        Err(error) if error.kind() == ErrorKind::IsADirectory || is_bad_medium(&error) => {
            let kept = aside::move_there(folder, &path)?;
            tracing::error!(segment = number, %error, kept = %kept.display(), "a segment of the journal cannot be read");
            return Ok(None);
        }
        bytes => bytes?,
    };
    let Some(scan) = scan(&bytes, is_last) else {
        let reason = format!("segment {number} of the journal is not of this release");
        return Err(io::Error::new(ErrorKind::InvalidData, reason));
    };
    if !scan.damaged.is_empty() {
        let kept = aside::keep(folder, number, &bytes)?;
        tracing::error!(
            segment = number, kept = %kept.display(), places = ?scan.damaged,
            "the journal is damaged; what these places said is lost, all else is applied"
        );
    }
    if let Some(torn) = scan.torn {
        let cut = bytes.len() - torn;
        tracing::warn!(segment = number, bytes = cut, "the journal ends in a torn frame; it is cut");
        segment::cut(&path, torn as u64)?;
    }
    Ok(Some(Segment { number, bytes, scan }))
}

fn changes<'a>(folder: &Path, segments: &'a [Segment]) -> io::Result<Vec<Located<'a>>> {
    let mut all = Vec::new();
    for Segment { number, bytes, scan } in segments {
        for found in &scan.frames {
            let Some(changes) = frame::read(bytes, found) else {
                let (kept, position) = (aside::keep(folder, *number, bytes)?, found.start);
                tracing::error!(segment = number, position, kept = %kept.display(), "a frame of the journal is not understood");
                continue;
            };
            let located = |change| Located { number: *number, position: found.start, change };
            all.extend(changes.into_iter().map(located));
        }
    }
    Ok(all)
}

fn keep(folder: &Path, number: u64, segments: &[Segment]) -> io::Result<()> {
    match segments.iter().find(|segment| segment.number == number) {
        Some(segment) => aside::keep(folder, number, &segment.bytes).map(drop),
        None => Ok(()),
    }
}

/// Whether every file would fail so, and another start may not.
fn is_of_the_machine(error: &io::Error) -> bool {
    const ERRNOS: [Errno; 7] =
        [Errno::NOSPC, Errno::DQUOT, Errno::ROFS, Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::INTR];
    Errno::from_io_error(error).is_some_and(|errno| ERRNOS.contains(&errno))
}

fn is_bad_medium(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::IO)
}
