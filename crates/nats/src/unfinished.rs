//! The messages that somebody is reading in several steps: each may have thousands of records, and a body aside that
//! would be fetched again for every step.

use parking_lot::Mutex;
use ports::{Record, Result};
use types::LogId;

use crate::archive::{self, Archive};
use crate::message::LogMessage;

/// Messages that are kept, each with a body of 16 MiB at most: those that were left last.
const MOST: usize = 2;

#[derive(Default)]
pub struct Unfinished(Mutex<Vec<Left>>);

struct Left {
    log: LogId,
    /// Of the message. Nothing else ever has it in this log.
    number: u64,
    records: Vec<Record>,
}

impl Unfinished {
    /// As [`archive::open`], unless it was left half read.
    ///
    /// # Errors
    /// As [`archive::open`].
    pub async fn open(&self, archive: &dyn Archive, log: &LogId, message: LogMessage) -> Result<Vec<Record>> {
        match self.take(log, message.number) {
            Some(records) => Ok(records),
            None => archive::open(archive, log, message).await,
        }
    }

    /// Keeps the records of a message for who goes on with it.
    pub fn leave(&self, log: &LogId, number: u64, records: Vec<Record>) {
        let mut all = self.0.lock();
        all.truncate(MOST - 1);
        all.insert(0, Left { log: log.clone(), number, records });
    }

    fn take(&self, log: &LogId, number: u64) -> Option<Vec<Record>> {
        let mut all = self.0.lock();
        let at = all.iter().position(|left| left.log == *log && left.number == number)?;
        Some(all.remove(at).records)
    }
}
