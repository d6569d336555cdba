//! The newest events of a log, as many as are kept in memory.

use std::collections::VecDeque;

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
}

impl Window {
    pub fn new(capacity: usize) -> Self {
        Self { entries: VecDeque::new(), capacity, begin: Seq::ZERO, last: Seq::ZERO }
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
            self.entries.pop_front();
        }
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
            tracing::warn!(seq = seq.0, "a record is no bash event");
            return;
        };
        self.entries.push_back(entry);
        if self.entries.len() > self.capacity
            && let Some(oldest) = self.entries.pop_front()
        {
            self.begin = oldest.seq;
        }
    }

    fn restart(&mut self) {
        self.entries.clear();
        (self.begin, self.last) = (Seq::ZERO, Seq::ZERO);
    }
}
