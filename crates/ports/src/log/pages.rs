//! A log from a position to its end, a page in memory at a time.

use types::{LogId, Seq};

use crate::{Error, EventLog, Record, Result};

const PAGE: usize = 1_000;

/// Reads a log on from a position. After its end it may be asked again: what was added meanwhile comes then.
pub struct Pages<'a> {
    log: &'a dyn EventLog,
    id: &'a LogId,
    at: Seq,
    records: usize,
}

impl<'a> Pages<'a> {
    /// What `id` has after `at`, in pages of `records` at most.
    #[must_use]
    pub const fn new(log: &'a dyn EventLog, id: &'a LogId, at: Seq, records: usize) -> Self {
        Self { log, id, at, records }
    }

    /// The next records; `None` where there are no more.
    ///
    /// # Errors
    /// As [`EventLog::read`]; `Internal` where the log does not advance.
    ///
    /// # Cancel safety
    /// A page that was not taken comes again.
    pub async fn next(&mut self) -> Result<Option<Vec<Record>>> {
        let page = self.log.read(self.id, self.at, self.records).await?;
        let Some(last) = page.last() else { return Ok(None) };
        if last.seq <= self.at {
            return Err(Error::Internal(format!("log {} does not advance after {}", self.id, self.at.0)));
        }
        self.at = last.seq;
        Ok(Some(page))
    }
}

impl dyn EventLog + '_ {
    /// The first `count` records after `after`, or all that there are: a page may end before either.
    ///
    /// # Errors
    /// As [`EventLog::read`].
    pub async fn read_first(&self, log: &LogId, after: Seq, count: usize) -> Result<Vec<Record>> {
        let (mut first, mut pages) = (Vec::new(), Pages::new(self, log, after, count));
        while first.len() < count
            && let Some(page) = pages.next().await?
        {
            first.extend(page);
        }
        first.truncate(count);
        Ok(first)
    }

    /// All records after `after`, in memory: for logs that are small.
    ///
    /// # Errors
    /// As [`EventLog::read`].
    pub async fn read_all(&self, log: &LogId, after: Seq) -> Result<Vec<Record>> {
        let (mut all, mut pages) = (Vec::new(), Pages::new(self, log, after, PAGE));
        while let Some(page) = pages.next().await? {
            all.extend(page);
        }
        Ok(all)
    }
}
