//! One log as a file.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use ports::Record;
use rustix::buffer::spare_capacity;
use rustix::fs::{FallocateFlags, SeekFrom};
use rustix::io::Errno;
use types::Seq;

use crate::place::Place;

/// A page of a read is about this much, or one record.
const MAX_READ: usize = 512 << 10;
const MIN_READ: usize = 16 << 10;
/// What a record is guessed to take as long as none was read.
const GUESSED_RECORD: usize = 1 << 10;

/// One log: a record a line. A record's position is the offset of its end, so nothing needs an index. What was
/// dropped from its front becomes a hole in the file, so the offsets stay.
pub struct LogFile {
    file: File,
    /// Where the first record begins that was not dropped.
    start: AtomicU64,
    /// What readers may see: everything before it is durable.
    tail: AtomicU64,
    /// What a record took where the log was last read: the next ones are likely to be similar.
    usual_record: AtomicUsize,
}

impl LogFile {
    /// `noted_start`: what was written down about the front. It is not believed where no record begins.
    pub fn open(file: File, noted_start: u64, place: &Place) -> io::Result<Self> {
        let (start, tail) = (AtomicU64::new(0), AtomicU64::new(file.metadata()?.len()));
        let log = Self { file, start, tail, usual_record: AtomicUsize::new(GUESSED_RECORD) };
        match noted_start {
            0 => {}
            start if start <= log.tail() && log.bytes(start - 1, 1)?.as_ref() == b"\n" => {
                log.drop_before(start)
            }
            start => tracing::warn!(log = %place.path, start, "the log does not begin where it was noted"),
        }
        Ok(log)
    }

    /// Cuts the last line if it has no end.
    pub fn open_whole(file: File, noted_start: u64, place: &Place) -> io::Result<Self> {
        let log = Self::open(file, noted_start, place)?;
        log.pass_over_hole(place)?;
        let length = log.tail();
        let whole = log.line_start(length)?;
        if whole < length {
            tracing::warn!(log = %place.path, bytes = length - whole, "the log ends in a torn line; it is cut");
            log.file.set_len(whole)?;
            log.tail.store(whole, Ordering::Release);
        }
        Ok(log)
    }

    pub fn start(&self) -> u64 {
        self.start.load(Ordering::Acquire)
    }

    pub fn tail(&self) -> u64 {
        self.tail.load(Ordering::Acquire)
    }

    /// Whether `bytes` are at `offset` already, or were and have been dropped.
    pub fn has(&self, offset: u64, bytes: &[u8]) -> io::Result<bool> {
        let dropped = usize::try_from(self.start().saturating_sub(offset)).unwrap_or(usize::MAX);
        let Some(kept) = bytes.get(dropped..) else { return Ok(true) };
        let offset = offset + dropped as u64;
        let reaches = offset + kept.len() as u64 <= self.tail();
        Ok(reaches && self.bytes(offset, kept.len())? == kept)
    }

    /// Where the log will begin if what is before the record that ends at or after `first_kept` is dropped; `None` if
    /// that changes nothing. The last record stays.
    pub fn new_start(&self, first_kept: u64) -> io::Result<Option<u64>> {
        let start = self.start();
        let position = first_kept.min(self.tail()).saturating_sub(1);
        if position <= start {
            return Ok(None);
        }
        Ok(Some(self.line_start(position)?).filter(|new| *new > start))
    }

    /// Hides what is before `start`, where a record begins.
    pub fn drop_before(&self, start: u64) {
        self.start.store(start, Ordering::Release);
    }

    /// Where the note on the front is lost, the log begins with the first whole record after the hole.
    fn pass_over_hole(&self, place: &Place) -> io::Result<()> {
        if self.start() > 0 || self.tail() == 0 || self.bytes(0, 1)?.as_ref() != b"\0" {
            return Ok(());
        }
        let mut at = match rustix::fs::seek(&self.file, SeekFrom::Data(0)) {
            Ok(at) => at,
            // There is nothing else in it.
            Err(Errno::NXIO) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        while at < self.tail() {
            let page = self.bytes(at, usize::try_from(self.tail() - at).unwrap_or(MIN_READ).min(MIN_READ))?;
            if let Some(end) = memchr::memchr(b'\n', &page) {
                let start = at + end as u64 + 1;
                tracing::warn!(log = %place.path, start, "it is not noted where the log begins; what is before is a hole");
                self.drop_before(start);
                return Ok(());
            }
            at += page.len() as u64;
        }
        Ok(())
    }

    /// Gives the room of what was dropped back to the file system, up to where it is on the disk that the log begins. The
    /// block with the last byte of it stays: that byte shows at the next opening that a record begins there.
    pub fn release_front(&self, noted: u64) -> io::Result<()> {
        const BLOCK: u64 = 4 << 10;
        let end = noted.min(self.start()).saturating_sub(1) / BLOCK * BLOCK;
        if end == 0 {
            return Ok(());
        }
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        Ok(rustix::fs::fallocate(&self.file, hole, 0, end)?)
    }

    /// Writes what is there already once more: it may be shown and yet not be on the disk.
    pub fn write_again(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let dropped = usize::try_from(self.start().saturating_sub(offset)).unwrap_or(usize::MAX);
        let kept = bytes.get(dropped..).unwrap_or_default();
        self.file.write_all_at(kept, offset + (bytes.len() - kept.len()) as u64)
    }

    /// Makes the log end at `offset` with records that say nothing, if it ends before and no more than `lost` bytes are
    /// missing.
    pub fn fill(&self, offset: u64, lost: u64) -> io::Result<()> {
        const PIECE: u64 = 64 << 10;
        if offset.saturating_sub(self.tail()) > lost {
            return Ok(());
        }
        while self.tail() < offset {
            let mut blank =
                vec![b' '; usize::try_from((offset - self.tail()).min(PIECE)).unwrap_or_default()];
            if let Some(last) = blank.last_mut() {
                *last = b'\n';
            }
            self.write(self.tail(), &blank)?;
        }
        Ok(())
    }

    /// Makes the log end with `bytes` at `offset`. On an error it ends at `offset`.
    pub fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let tail = self.tail();
        if tail < offset {
            let reason = format!("the log ends at {tail}, and {offset} was expected");
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
        if tail > offset {
            self.file.set_len(offset)?;
            self.tail.store(offset, Ordering::Release);
        }
        if let Err(error) = self.file.write_all_at(bytes, offset) {
            self.file.set_len(offset)?;
            return Err(error);
        }
        self.tail.store(offset + bytes.len() as u64, Ordering::Release);
        Ok(())
    }

    /// The records that end after `after`, at most `limit` of them, and at least one if there is one.
    pub fn read(&self, after: u64, limit: usize) -> io::Result<Vec<Record>> {
        loop {
            let start = self.start();
            let entries = self.read_from(after.max(start), limit)?;
            // What was dropped meanwhile may be a hole already.
            if self.start() == start {
                return Ok(entries);
            }
        }
    }

    fn read_from(&self, after: u64, limit: usize) -> io::Result<Vec<Record>> {
        let tail = self.tail();
        if after >= tail || limit == 0 {
            return Ok(Vec::new());
        }
        let start = self.line_start(after)?;
        let left = usize::try_from(tail - start).unwrap_or(usize::MAX);
        let usual = self.usual_record.load(Ordering::Relaxed);
        let mut size = limit.saturating_mul(usual + usual / 8).clamp(MIN_READ, MAX_READ);
        loop {
            let page = self.bytes(start, size.min(left))?;
            let entries = records(&page, start, limit);
            if let Some(last) = entries.last() {
                let read = usize::try_from(last.seq.0 - start).unwrap_or(usize::MAX);
                self.usual_record.store(read / entries.len(), Ordering::Relaxed);
                return Ok(entries);
            }
            if size >= left {
                return Ok(entries);
            }
            size = size.saturating_mul(4);
        }
    }

    /// Where the line that `position` is in begins; right after the end of a line that is `position` itself.
    fn line_start(&self, position: u64) -> io::Result<u64> {
        const STEP: u64 = 4 << 10;
        let start = self.start();
        let mut end = position;
        while end > start {
            let begin = end.saturating_sub(STEP).max(start);
            let block = self.bytes(begin, usize::try_from(end - begin).unwrap_or(0))?;
            if let Some(at) = memchr::memrchr(b'\n', &block) {
                return Ok(begin + at as u64 + 1);
            }
            end = begin;
        }
        Ok(start)
    }

    fn bytes(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        let mut buffer = Vec::with_capacity(length);
        while buffer.len() < length {
            let at = offset + buffer.len() as u64;
            match rustix::io::pread(&self.file, spare_capacity(&mut buffer), at) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        buffer.truncate(length);
        Ok(buffer.into())
    }
}

/// The whole lines of `page`, which begins at `start`. They share its memory.
fn records(page: &Bytes, start: u64, limit: usize) -> Vec<Record> {
    let mut entries = Vec::new();
    let mut from = 0;
    for end in memchr::memchr_iter(b'\n', page).take(limit) {
        entries.push(Record { seq: Seq(start + end as u64 + 1), payload: page.slice(from..end) });
        from = end + 1;
    }
    entries
}
