use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ports::{Error, Result};

use super::frame::{self, FrameWriter};
use super::queue::{End, Queue, Taken};
use super::replay::{self, Occasion};
use super::segment::{self, Segment};
use super::{Ahead, Stage, Transaction};
use crate::disk::Disk;
use crate::options::Fsync;

/// A segment longer than this is followed by a new one.
const SEGMENT_BYTES: u64 = 32 << 20;
/// A batch longer than this is written before more is staged.
const BATCH_BYTES: usize = 8 << 20;
/// The buffer kept between batches.
const KEPT_BYTES: usize = 512 << 10;
const SYNC_EVERY: Duration = Duration::from_millis(50);

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
    /// Of the segments that are not needed once all files are synced.
    old: Vec<u64>,
    next_number: u64,
    /// When the first write happened that is not synced yet.
    unsynced_since: Option<Instant>,
    checkpoint: Option<JoinHandle<io::Result<()>>>,
    /// Since the file systems could not be synced, what was applied may not be on the disk.
    is_doubtful: bool,
}

/// A transaction and where its frame stands in the writer, if it has one.
type Staged = (Box<dyn Transaction>, Result<Option<Range<usize>>>);

impl Committer {
    pub fn new(folder: PathBuf, old: Vec<u64>, disk: Arc<Disk>, fsync: Fsync, queue: Arc<Queue>) -> Self {
        let next_number = old.last().map_or(1, |last| last + 1);
        Self {
            folder,
            disk,
            fsync,
            queue,
            writer: FrameWriter::default(),
            segment: None,
            torn: false,
            old,
            next_number,
            unsynced_since: None,
            checkpoint: None,
            is_doubtful: false,
        }
    }

    /// Works until the queue ends.
    pub fn run(mut self) {
        let _end_with_thread = EndWithThread(self.queue.clone());
        self.start_checkpoint();
        let end = loop {
            let patience = self.unsynced_since.map(|since| SYNC_EVERY.saturating_sub(since.elapsed()));
            match self.queue.take(patience) {
                Taken::Batch(batch) => self.work_through(batch),
                Taken::Nothing => {}
                Taken::Ended(end) => break end,
            }
            if self.unsynced_since.is_some_and(|since| since.elapsed() >= SYNC_EVERY) {
                self.sync_late();
            }
        };
        match end {
            End::Closed => self.close(),
            End::Abandoned => self.collect_checkpoint(),
        }
    }

    fn work_through(&mut self, batch: Vec<Box<dyn Transaction>>) {
        let mut batch = batch.into_iter().peekable();
        while batch.peek().is_some() {
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

    /// Ends a segment that has become long, and lets it go in the background.
    fn rotate(&mut self) {
        let long = self.segment.as_ref().is_some_and(|segment| segment.len() > SEGMENT_BYTES);
        if !long || self.torn || self.checkpoint.as_ref().is_some_and(|running| !running.is_finished()) {
            return;
        }
        self.end_segment();
    }

    fn end_segment(&mut self) {
        if self.unsynced_since.is_some() {
            self.sync_late();
        }
        self.segment = None;
        self.collect_checkpoint();
        self.old.push(self.next_number - 1);
        self.start_checkpoint();
    }

    fn start_checkpoint(&mut self) {
        if self.old.is_empty() || !self.is_certain() {
            return;
        }
        let (folder, disk, old) = (self.folder.clone(), self.disk.clone(), self.old.clone());
        let work = move || checkpoint(&folder, &disk, &old);
        match thread::Builder::new().name("checkpoint".to_owned()).spawn(work) {
            Ok(running) => self.checkpoint = Some(running),
            Err(error) => tracing::warn!(%error, "no thread for a checkpoint; the journal grows meanwhile"),
        }
    }

    /// Waits for the checkpoint that runs and forgets its segments, unless it has to be done again.
    fn collect_checkpoint(&mut self) {
        match self.checkpoint.take().map(JoinHandle::join) {
            None => {}
            Some(Ok(Ok(()))) => self.old.clear(),
            Some(Ok(Err(error))) => {
                self.is_doubtful = true;
                tracing::error!(%error, "the files of the store cannot be synced; the journal is kept");
            }
            Some(Err(_)) => {
                self.is_doubtful = true;
                tracing::error!("the checkpoint failed; the journal is kept");
            }
        }
    }

    /// Writes everything that the old segments say to the files again if it is in doubt whether it is on the disk. Called
    /// when no segment is being written, so they are all there are.
    fn is_certain(&mut self) -> bool {
        if !self.is_doubtful {
            return true;
        }
        match replay::do_again(&self.folder, &self.old, &self.disk, Occasion::FailedSync) {
            Ok(_) => self.is_doubtful = false,
            Err(error) => tracing::error!(%error, "the journal cannot be applied again; it is kept"),
        }
        !self.is_doubtful
    }

    fn close(mut self) {
        self.collect_checkpoint();
        if self.segment.take().is_some() {
            self.old.push(self.next_number - 1);
        }
        if self.old.is_empty() || !self.is_certain() {
            return;
        }
        if let Err(error) = checkpoint(&self.folder, &self.disk, &self.old) {
            tracing::error!(%error, "the files of the store cannot be synced; the journal is kept");
        }
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

/// Makes the files durable, then removes the segments that said how to make them again.
fn checkpoint(folder: &Path, disk: &Disk, old: &[u64]) -> io::Result<()> {
    disk.sync()?;
    segment::remove(folder, old)
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
mod tests {
    use std::fs;

    use tokio::sync::oneshot;

    use super::*;
    use crate::options::Options;
    use crate::place::{Area, Place};

    struct Append(Place, oneshot::Sender<Result<()>>);

    impl Transaction for Append {
        fn bytes(&self) -> usize {
            0
        }

        fn stage(&mut self, stage: &mut Stage<'_>) -> Result<()> {
            stage.frame.append(&self.0, 0, &[b"acknowledged\n"]);
            Ok(())
        }

        fn settle(self: Box<Self>, outcome: Result<()>) {
            let _ = self.1.send(outcome);
        }
    }

    #[test]
    fn what_a_failed_sync_may_have_dropped_is_written_again_before_its_segment_goes() {
        let folder = tempfile::tempdir().unwrap();
        let options = Options::within(folder.path(), Fsync::Always);
        let disk = Arc::new(Disk::open(&options).unwrap());
        let journal = options.root.join("journal");
        crate::disk::make_folder(&journal).unwrap();
        let mut committer =
            Committer::new(journal.clone(), Vec::new(), disk.clone(), Fsync::Always, Arc::new(Queue::new()));
        let place = Place { area: Area::BashEvents, path: "_bash.jsonl".to_owned() };
        let (answer, mut answered) = oneshot::channel();
        committer.work_through(vec![Box::new(Append(place.clone(), answer))]);
        assert_eq!(answered.try_recv(), Ok(Ok(())));

        disk.fail_next_sync();
        committer.end_segment();
        committer.collect_checkpoint();
        assert_eq!(segment::numbers(&journal).unwrap(), [1], "the segment is kept");
        // As the system shows it once the page it could not write is read from the disk again.
        let file = disk.path(&place);
        fs::write(&file, "acknow\0\0\0\0\0\0\0").unwrap();
        committer.start_checkpoint();
        committer.collect_checkpoint();
        assert_eq!(fs::read_to_string(file).unwrap(), "acknowledged\n");
        assert_eq!(segment::numbers(&journal).unwrap(), [0; 0], "now it may go");
    }
}
