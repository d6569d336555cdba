//! The committer: writes batches of transactions, syncs them once, and applies them.

use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ports::{Error, Result};

use super::checkpoint::Checkpoints;
use super::frame::{self, FrameWriter};
use super::queue::{End, Queue, Taken};
use super::segment::Segment;
use super::{Ahead, Stage, Transaction};
use crate::disk::Disk;
use crate::options::Fsync;

/// A batch longer than this is written before more is staged.
const BATCH_BYTES: usize = 8 << 20;
/// The buffer kept between batches.
const KEPT_BYTES: usize = 512 << 10;
const SYNC_EVERY: Duration = Duration::from_millis(50);
/// After so long without work a voucher follows what was written last.
const VOUCH_AFTER: Duration = Duration::from_millis(50);

/// How large the journal becomes.
#[derive(Clone, Copy)]
struct Limits {
    /// A segment longer than this is followed by a new one.
    segment: u64,
    /// While all segments together are longer than this, nothing is taken in.
    journal: u64,
    /// How long to wait before a full journal is tried to be emptied again.
    patience: Duration,
}

const LIMITS: Limits = Limits { segment: 32 << 20, journal: 1 << 30, patience: Duration::from_secs(5) };

/// The one thread that writes.
pub struct Committer {
    folder: PathBuf,
    disk: Arc<Disk>,
    fsync: Fsync,
    queue: Arc<Queue>,
    writer: FrameWriter,
    segment: Option<Segment>,
    /// A failed write may have left bytes after the good part.
    torn: bool,
    next_number: u64,
    /// When the first write happened that is not synced yet.
    unsynced_since: Option<Instant>,
    checkpoints: Checkpoints,
    limits: Limits,
}

/// A transaction and where its frame stands in the writer, if it has one.
type Staged = (Box<dyn Transaction>, Result<Option<Range<usize>>>);

impl Committer {
    pub fn new(folder: PathBuf, old: &[u64], disk: Arc<Disk>, fsync: Fsync, queue: Arc<Queue>) -> Self {
        let next_number = old.last().map_or(1, |last| last + 1);
        Self {
            checkpoints: Checkpoints::new(folder.clone(), old, disk.clone()),
            folder,
            disk,
            fsync,
            queue,
            writer: FrameWriter::default(),
            segment: None,
            torn: false,
            next_number,
            unsynced_since: None,
            limits: LIMITS,
        }
    }

    /// Works until the queue ends.
    pub fn run(mut self) {
        let _end_with_thread = EndWithThread(self.queue.clone());
        self.checkpoints.begin();
        let end = loop {
            match self.queue.take(self.patience()) {
                Taken::Batch(batch) => self.work_through(batch),
                Taken::Nothing => self.vouch(),
                Taken::Ended(end) => break end,
            }
            if self.unsynced_since.is_some_and(|since| since.elapsed() >= SYNC_EVERY) {
                self.sync_late();
            }
        };
        match end {
            End::Closed => self.close(),
            End::Abandoned => self.abandon(),
        }
    }

    /// How long to wait for work before there is something else to do.
    fn patience(&self) -> Option<Duration> {
        match self.unsynced_since {
            Some(since) => Some(SYNC_EVERY.saturating_sub(since.elapsed())),
            None => self.segment.as_ref().filter(|segment| segment.lacks_voucher()).map(|_| VOUCH_AFTER),
        }
    }

    fn work_through(&mut self, batch: Vec<Box<dyn Transaction>>) {
        let mut batch = batch.into_iter().peekable();
        while batch.peek().is_some() {
            if self.is_full() {
                self.make_room();
            }
            if self.is_full() {
                let staged = batch.map(|transaction| (transaction, Ok(None))).collect();
                return refuse(
                    staged,
                    &io::Error::other("its journal is full, as the disk has not taken what is in it"),
                );
            }
            let staged = self.stage(&mut batch);
            match self.store() {
                Ok(begin) => self.apply(staged, begin),
                Err(error) => {
                    tracing::error!(%error, "the journal cannot be written");
                    refuse(staged, &error);
                }
            }
            self.writer.clear(KEPT_BYTES);
            self.rotate();
        }
    }

    /// Checks transactions and collects their frames, until there is enough for one write.
    fn stage(&mut self, batch: &mut impl Iterator<Item = Box<dyn Transaction>>) -> Vec<Staged> {
        let (mut staged, mut ahead) = (Vec::new(), Ahead::default());
        let empty = Segment::empty_len();
        let (base, synced) =
            self.segment.as_ref().map_or((empty, empty), |segment| (segment.len(), segment.synced()));
        self.writer.begin(base, synced);
        for mut transaction in batch {
            let mut stage = Stage { disk: &self.disk, ahead: &mut ahead, frame: &mut self.writer };
            let outcome = transaction.stage(&mut stage);
            let frame = self.writer.finish();
            staged.push((transaction, outcome.map(|()| frame)));
            if self.writer.bytes().len() >= BATCH_BYTES {
                break;
            }
        }
        staged
    }

    /// Writes what was staged and makes it as durable as is asked for; answers where it begins in the segment.
    fn store(&mut self) -> io::Result<u64> {
        let bytes = self.writer.bytes();
        if bytes.is_empty() {
            return Ok(0);
        }
        let mut segment = match self.segment.take() {
            Some(segment) => segment,
            None => self.new_segment()?,
        };
        let stored = self.store_in(&mut segment);
        if stored.is_err() {
            let length = segment.len();
            self.torn = segment.cut(length).is_err();
        }
        self.segment = Some(segment);
        stored
    }

    fn store_in(&mut self, segment: &mut Segment) -> io::Result<u64> {
        let begin = segment.len();
        if self.torn {
            segment.cut(begin)?;
            self.torn = false;
        }
        segment.write(self.writer.bytes())?;
        if self.fsync == Fsync::Always {
            segment.sync()?;
        }
        segment.accept(self.writer.bytes().len());
        match self.fsync {
            Fsync::Always => segment.note_synced(),
            Fsync::Interval => {
                self.unsynced_since.get_or_insert_with(Instant::now);
            }
        }
        Ok(begin)
    }

    fn new_segment(&mut self) -> io::Result<Segment> {
        let segment = Segment::create(&self.folder, self.next_number)?;
        self.next_number += 1;
        Ok(segment)
    }

    /// Does what is stored to the files and answers. Where a file cannot be changed, that frame and all after
    /// it are taken back out of the journal: they have not happened.
    fn apply(&mut self, staged: Vec<Staged>, begin: u64) {
        let mut staged = staged.into_iter();
        while let Some((transaction, outcome)) = staged.next() {
            let range = match outcome {
                Ok(Some(range)) => range,
                Ok(None) => {
                    transaction.settle(Ok(()));
                    continue;
                }
                Err(refusal) => {
                    transaction.settle(Err(refusal));
                    continue;
                }
            };
            if let Err(error) = self.apply_frame(range.clone()) {
                tracing::error!(%error, "a file of the store cannot be written");
                self.take_back(begin + range.start as u64);
                transaction.settle(Err(unavailable(&error)));
                refuse(staged.collect(), &error);
                return;
            }
            transaction.settle(Ok(()));
        }
    }

    fn apply_frame(&self, range: Range<usize>) -> io::Result<()> {
        let changes = self.writer.bytes().get(range).and_then(frame::decode_own);
        for change in changes.unwrap_or_default() {
            self.disk.apply(&change)?;
        }
        Ok(())
    }

    fn take_back(&mut self, from: u64) {
        let Some(segment) = &mut self.segment else { return };
        if let Err(error) = segment.cut(from) {
            tracing::error!(%error, "the journal cannot be cut");
            self.torn = true;
        }
    }

    fn sync_late(&mut self) {
        // A failed sync is not repeated: the system reports a lost write once. The next write finds out.
        self.unsynced_since = None;
        let Some(segment) = &mut self.segment else { return };
        match segment.sync() {
            Ok(()) => segment.note_synced(),
            Err(error) => tracing::error!(%error, "the journal cannot be synced"),
        }
    }

    /// Says in the segment that all before is on the disk, so that damage in the last batch is told from a torn end. That
    /// need not be on the disk soon, and may fail.
    fn vouch(&mut self) {
        let Some(segment) = self.segment.as_mut().filter(|segment| segment.lacks_voucher()) else { return };
        segment.note_vouched();
        if self.torn {
            return;
        }
        self.writer.begin(segment.len(), segment.synced());
        self.writer.vouch();
        match segment.write(self.writer.bytes()) {
            Ok(()) => segment.accept(self.writer.bytes().len()),
            Err(_) => self.torn = true,
        }
        self.writer.clear(KEPT_BYTES);
    }

    fn is_full(&self) -> bool {
        self.bytes() > self.limits.journal
    }

    /// What the journal takes.
    fn bytes(&self) -> u64 {
        self.checkpoints.bytes() + self.segment.as_ref().map_or(0, Segment::len)
    }

    fn make_room(&mut self) {
        self.checkpoints.collect_if_done();
        if self.is_full() && self.checkpoints.is_due(self.limits.patience) {
            self.end_segment();
        }
    }

    /// Ends a segment that has become long, and lets it go in the background. One that goes already is not waited for.
    fn rotate(&mut self) {
        if self.segment.as_ref().is_some_and(|segment| segment.len() > self.limits.segment) {
            self.end_segment();
        }
    }

    fn end_segment(&mut self) {
        if self.torn
            && let Some(segment) = &mut self.segment
        {
            if segment.cut(segment.len()).is_err() {
                return;
            }
            self.torn = false;
        }
        if self.unsynced_since.is_some() {
            self.sync_late();
        }
        if let Some(segment) = self.segment.take() {
            self.checkpoints.add(self.next_number - 1, segment.len());
        }
        self.checkpoints.begin();
    }

    fn abandon(mut self) {
        if self.unsynced_since.is_some() {
            self.sync_late();
        }
        self.vouch();
        self.checkpoints.collect();
    }

    fn close(mut self) {
        if let Some(segment) = self.segment.take() {
            self.checkpoints.add(self.next_number - 1, segment.len());
        }
        self.checkpoints.close();
    }
}

/// Whatever ends the thread, nobody waits for it.
struct EndWithThread(Arc<Queue>);

impl Drop for EndWithThread {
    fn drop(&mut self) {
        self.0.end(End::Abandoned);
        while let Taken::Batch(batch) = self.0.take(None) {
            drop(batch);
        }
    }
}

fn refuse(staged: Vec<Staged>, error: &io::Error) {
    for (transaction, _) in staged {
        transaction.settle(Err(unavailable(error)));
    }
}

fn unavailable(error: &io::Error) -> Error {
    Error::Unavailable(format!("the store cannot be written: {error}"))
}

#[cfg(test)]
mod tests;
