//! The newest events of a log, as many as are kept in memory.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use types::Seq;
use types::log::LogRecord;

use super::summary::EventSummary;
use crate::followed::Fold;

/// The newest entries of a log, as many as are kept in memory.
pub struct Window {
    entries: VecDeque<EventSummary>,
    capacity: usize,
    /// Where the entries begin: records up to here are in the log alone.
    begin: Seq,
    last: Seq,
    sum: Arc<Sum>,
    /// Whether it was said that there are records that cannot be read.
    is_odd: bool,
}

/// How many entries all windows have together.
#[derive(Default)]
pub struct Sum(AtomicUsize);

impl Sum {
    pub fn entries(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Window {
    pub fn new(capacity: usize, sum: Arc<Sum>) -> Self {
        Self { entries: VecDeque::new(), capacity, begin: Seq::ZERO, last: Seq::ZERO, sum, is_odd: false }
    }

    pub fn begin(&self) -> Seq {
        self.begin
    }

    pub fn entries(&self) -> &VecDeque<EventSummary> {
        &self.entries
    }

    /// The log was shortened: nothing before `first` is there any more.
    pub fn forget_before(&mut self, first: Seq) {
        while self.entries.front().is_some_and(|entry| entry.seq < first) {
            self.pop();
        }
    }

    /// Leaves all but the newest entries to the log.
    pub fn shrink_to(&mut self, most: usize) {
        while self.entries.len() > most {
            self.slide();
        }
        self.entries.shrink_to_fit();
    }

    fn slide(&mut self) {
        if let Some(oldest) = self.pop() {
            self.begin = oldest.seq;
        }
    }

    fn pop(&mut self) -> Option<EventSummary> {
        let oldest = self.entries.pop_front()?;
        self.sum.0.fetch_sub(1, Ordering::Relaxed);
        Some(oldest)
    }

    fn clear(&mut self) {
        self.sum.0.fetch_sub(self.entries.len(), Ordering::Relaxed);
        self.entries.clear();
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        self.clear();
    }
}

impl Fold for Window {
    type News = ();

    fn at(&self) -> Seq {
        self.last
    }

    fn take(&mut self, prev: Seq, seq: Seq, record: &Bytes) {
        self.last = seq;
        if LogRecord::is_control(record) {
            return;
        }
        let Some(entry) = EventSummary::of(prev, seq, record) else {
            // A worker may write as many as it likes.
            if !std::mem::replace(&mut self.is_odd, true) {
                tracing::warn!(
                    seq = seq.0,
                    "a record is no bash event; others of this log are passed over silently"
                );
            }
            return;
        };
        self.entries.push_back(entry);
        self.sum.0.fetch_add(1, Ordering::Relaxed);
        if self.entries.len() > self.capacity {
            self.slide();
        }
    }

    fn restart(&mut self) {
        self.clear();
        (self.begin, self.last) = (Seq::ZERO, Seq::ZERO);
    }
}
