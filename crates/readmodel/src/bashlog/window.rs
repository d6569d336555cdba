use std::collections::VecDeque;

use types::Seq;
use types::log::LogRecord;

use super::summary::EventSummary;

/// The newest entries of a log, as many as are kept in memory.
pub struct Window {
    entries: VecDeque<EventSummary>,
    capacity: usize,
    /// Where the entries begin: records up to here are in the log alone.
    begin: Seq,
    last: Seq,
    /// One more each time the log began anew.
    generation: u64,
}

/// How far a window has come, and in which life of its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    pub generation: u64,
    pub last: Seq,
}

impl Window {
    pub fn new(capacity: usize) -> Self {
        Self { entries: VecDeque::new(), capacity, begin: Seq::ZERO, last: Seq::ZERO, generation: 0 }
    }

    pub fn mark(&self) -> Mark {
        Mark { generation: self.generation, last: self.last }
    }

    pub fn begin(&self) -> Seq {
        self.begin
    }

    pub fn entries(&self) -> &VecDeque<EventSummary> {
        &self.entries
    }

    /// Takes the next record of the log. One that is known already is passed over; false when records between
    /// are missing.
    pub fn push(&mut self, prev: Seq, seq: Seq, record: &[u8]) -> bool {
        if seq <= self.last {
            return true;
        }
        if prev != self.last {
            return false;
        }
        self.last = seq;
        if LogRecord::is_control(record) {
            return true;
        }
        let Some(entry) = EventSummary::of(prev, seq, record) else {
            tracing::warn!(seq = seq.0, "a record is no bash event");
            return true;
        };
        self.entries.push_back(entry);
        if self.entries.len() > self.capacity
            && let Some(oldest) = self.entries.pop_front()
        {
            self.begin = oldest.seq;
        }
        true
    }

    /// The log was shortened: nothing before `first` is there any more.
    pub fn forget_before(&mut self, first: Seq) {
        while self.entries.front().is_some_and(|entry| entry.seq < first) {
            self.entries.pop_front();
        }
    }

    /// The log was removed.
    pub fn restart(&mut self) {
        self.entries.clear();
        self.begin = Seq::ZERO;
        self.last = Seq::ZERO;
        self.generation += 1;
    }
}
