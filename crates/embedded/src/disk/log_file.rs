use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use ports::Entry;
use rustix::buffer::spare_capacity;
use types::Seq;

use crate::place::Place;

/// A page of a read is about this much, or one record.
const MAX_READ: usize = 512 << 10;
const MIN_READ: usize = 16 << 10;
/// What a record is guessed to take as long as none was read.
const GUESSED_RECORD: usize = 1 << 10;

/// One log: a record a line. A record's position is the offset of its end, so nothing needs an index.
pub struct LogFile {
    file: File,
    /// What readers may see: everything before it is durable.
    tail: AtomicU64,
    /// What a record took where the log was last read: the next ones are likely to be similar.
    usual_record: AtomicUsize,
}

impl LogFile {
    pub fn open(file: File) -> io::Result<Self> {
        let tail = AtomicU64::new(file.metadata()?.len());
        Ok(Self { file, tail, usual_record: AtomicUsize::new(GUESSED_RECORD) })
    }

    /// Cuts the last line if it has no end.
    pub fn open_whole(file: File, place: &Place) -> io::Result<Self> {
        let log = Self::open(file)?;
        let length = log.tail();
        let whole = log.line_start(length)?;
        if whole < length {
            tracing::warn!(log = %place.path, bytes = length - whole, "the log ends in a torn line; it is cut");
            log.file.set_len(whole)?;
            log.tail.store(whole, Ordering::Release);
        }
        Ok(log)
    }

    pub fn tail(&self) -> u64 {
        self.tail.load(Ordering::Acquire)
    }

    /// Whether `bytes` are at `offset` already.
    pub fn has(&self, offset: u64, bytes: &[u8]) -> io::Result<bool> {
        let reaches = offset + bytes.len() as u64 <= self.tail();
        Ok(reaches && self.bytes(offset, bytes.len())? == bytes)
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
    pub fn read(&self, after: u64, limit: usize) -> io::Result<Vec<Entry>> {
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
        let mut end = position;
        while end > 0 {
            let begin = end.saturating_sub(STEP);
            let block = self.bytes(begin, usize::try_from(end - begin).unwrap_or(0))?;
            if let Some(at) = memchr::memrchr(b'\n', &block) {
                return Ok(begin + at as u64 + 1);
            }
            end = begin;
        }
        Ok(0)
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
fn records(page: &Bytes, start: u64, limit: usize) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut from = 0;
    for end in memchr::memchr_iter(b'\n', page).take(limit) {
        entries.push(Entry { seq: Seq(start + end as u64 + 1), payload: page.slice(from..end) });
        from = end + 1;
    }
    entries
}
