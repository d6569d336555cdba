//! Does again what the journal says: at a start, and when the disk has failed to take it.
//!
//! Nothing a segment says may keep the store from starting, as some of it was made by strangers. A change that cannot
//! be done to its file is left out, and a place that was damaged is passed over; in both cases the segment is kept in
//! `set-aside`, and the log says what and where. Only what has nothing to do with one file (a full disk, no
//! descriptors, a journal of a newer release) ends the start, before anything is lost.
//!
//! The segments are read twice, one in memory at a time: first to learn which change of each file is the last, and
//! which were undone by a removal, then to do the changes. A segment that is absent was applied and has gone.

use std::collections::{HashMap, HashSet};
use std::io::{self, ErrorKind};
use std::path::Path;

use rustix::io::Errno;

use super::frame::{self, Frame};
use super::scan::{Scan, scan};
use super::{aside, segment};
use crate::change::Change;
use crate::disk::{Disk, make_folder};
use crate::place::Place;

/// Why the segments are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    Start,
    /// The system may have dropped what it was given to write, although it still shows it.
    FailedSync,
}

/// A segment in memory.
struct Segment {
    number: u64,
    bytes: Vec<u8>,
    scan: Scan,
}

enum Loaded {
    Whole(Segment),
    /// It has gone, or is set aside: as many bytes of it are lost.
    Lost(u64),
}

/// Where in the journal a change stands: its segment, its frame, its number in there.
type Spot = (u64, usize, usize);

/// What has to be known of the whole journal before its first change is done.
#[derive(Default)]
struct Survey {
    last: HashMap<Place, Spot>,
    removed: HashMap<Place, Spot>,
    /// The bytes of the segments that could not be read.
    unreadable: HashMap<u64, u64>,
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
    let survey = Survey::of(folder, numbers)?;
    let mut again = Again { folder, disk, occasion, survey, changes: 0, lost: 0, kept: HashSet::new() };
    for number in numbers {
        match load(folder, *number, numbers)? {
            Loaded::Whole(segment) => again.segment(&segment)?,
            Loaded::Lost(bytes) => {
                again.lost += bytes.max(again.survey.unreadable.get(number).copied().unwrap_or_default());
            }
        }
    }
    Ok(again.changes)
}

impl Survey {
    fn of(folder: &Path, numbers: &[u64]) -> io::Result<Self> {
        let mut survey = Self::default();
        for number in numbers {
            match load(folder, *number, numbers)? {
                Loaded::Whole(segment) => {
                    report(folder, &segment)?;
                    segment.scan.frames.iter().for_each(|frame| survey.take(&segment, frame));
                }
                Loaded::Lost(bytes) => drop(survey.unreadable.insert(*number, bytes)),
            }
        }
        Ok(survey)
    }

    fn take(&mut self, segment: &Segment, frame: &Frame) {
        for (index, change) in frame::read(&segment.bytes, frame).into_iter().flatten().enumerate() {
            let spot = (segment.number, frame.start, index);
            if matches!(change, Change::Remove { .. }) {
                self.removed.insert(change.place().clone(), spot);
            }
            self.last.insert(change.into_place(), spot);
        }
    }
}

/// The changes being done.
struct Again<'a> {
    folder: &'a Path,
    disk: &'a Disk,
    occasion: Occasion,
    survey: Survey,
    changes: usize,
    /// How much the journal has lost before the place that is reached: no more can be missing in a file for that reason.
    lost: u64,
    /// The segments that were set aside.
    kept: HashSet<u64>,
}

impl Again<'_> {
    fn segment(&mut self, segment: &Segment) -> io::Result<()> {
        let mut damaged = segment.scan.damaged.iter().peekable();
        for found in &segment.scan.frames {
            while let Some(place) = damaged.next_if(|place| place.start < found.start) {
                self.lost += place.len() as u64;
            }
            let Some(changes) = frame::read(&segment.bytes, found) else {
                self.lost += (found.end - found.start) as u64;
                let (number, position) = (segment.number, found.start);
                self.keep(segment)?;
                tracing::error!(
                    segment = number,
                    position,
                    "a frame of the journal is not understood; its segment is set aside"
                );
                continue;
            };
            for (index, change) in changes.iter().enumerate() {
                self.changes += 1;
                self.change(segment, (segment.number, found.start, index), change)?;
            }
        }
        self.lost += damaged.map(|place| place.len() as u64).sum::<u64>();
        Ok(())
    }

    fn change(&mut self, segment: &Segment, spot: Spot, change: &Change<'_>) -> io::Result<()> {
        let Err(error) = self.redo(spot, change) else { return Ok(()) };
        if is_of_the_machine(&error) {
            return Err(error);
        }
        let (number, position, _) = spot;
        let file = self.disk.path(change.place());
        tracing::error!(
            segment = number, position, file = %file.display(), %error,
            "a change of the journal cannot be done to its file; it is left out, and its segment is set aside"
        );
        self.keep(segment)
    }

    fn redo(&self, spot: Spot, change: &Change<'_>) -> io::Result<()> {
        let is_last = self.survey.last.get(change.place()) == Some(&spot);
        match change {
            _ if self.survey.removed.get(change.place()).is_some_and(|removal| spot < *removal) => Ok(()),
            Change::Replace { .. } if !is_last => Ok(()),
            // What is in the folder by now may be of a conversation that is being made.
            Change::Remove { .. } if self.occasion == Occasion::FailedSync => Ok(()),
            // What else is in the folder by now belongs to the log that was made after this.
            Change::Remove { place } if !is_last => self.disk.remove_file(place),
            change => self.disk.redo(change, self.lost),
        }
    }

    fn keep(&mut self, segment: &Segment) -> io::Result<()> {
        match self.kept.insert(segment.number) {
            true => aside::keep(self.folder, segment.number, &segment.bytes).map(drop),
            false => Ok(()),
        }
    }
}

fn load(folder: &Path, number: u64, numbers: &[u64]) -> io::Result<Loaded> {
    let path = segment::path(folder, number);
    let bytes = match std::fs::read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Loaded::Lost(0)),
        Err(error) if error.kind() == ErrorKind::IsADirectory || is_bad_medium(&error) => {
            let length = path.metadata().map_or(0, |file| file.len());
            let kept = aside::move_there(folder, &path)?;
            tracing::error!(segment = number, %error, kept = %kept.display(), "a segment of the journal cannot be read");
            return Ok(Loaded::Lost(length));
        }
        bytes => bytes?,
    };
    let Some(scan) = scan(&bytes, numbers.last() == Some(&number)) else {
        let reason = format!("segment {number} of the journal is not of this release");
        return Err(io::Error::new(ErrorKind::InvalidData, reason));
    };
    Ok(Loaded::Whole(Segment { number, bytes, scan }))
}

/// Keeps what is damaged, and cuts what is torn.
fn report(folder: &Path, Segment { number, bytes, scan }: &Segment) -> io::Result<()> {
    if !scan.damaged.is_empty() {
        let kept = aside::keep(folder, *number, bytes)?;
        tracing::error!(
            segment = number, kept = %kept.display(), places = ?scan.damaged,
            "the journal is damaged; what these places said is lost, all else is applied"
        );
    }
    let Some(torn) = scan.torn else { return Ok(()) };
    let cut = bytes.len() - torn;
    tracing::warn!(segment = number, bytes = cut, "the journal ends in a torn frame; it is cut");
    if scan.whole_behind > 0 {
        // It may as well be damage in the last batch that was acknowledged.
        let kept = aside::keep(folder, *number, bytes)?;
        let frames = scan.whole_behind;
        tracing::error!(segment = number, kept = %kept.display(), frames, "whole frames behind the torn one are cut as well; a copy is kept");
    }
    segment::cut(&segment::path(folder, *number), torn as u64)
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

#[cfg(test)]
mod tests;
