//! The newest records of a log that is looked at, so that not everybody who looks reads them again.

use std::collections::VecDeque;

use bytes::Bytes;
use types::Seq;

const RECORDS: usize = 512;
const BYTES: usize = 4 * 1024 * 1024;

/// A stored record with its position and the one before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taped {
    pub prev: Seq,
    pub seq: Seq,
    pub payload: Bytes,
}

/// Runs while somebody wants it to; else it is empty.
#[derive(Default)]
pub(super) struct Tape {
    wanted_by: usize,
    records: VecDeque<Taped>,
    bytes: usize,
}

impl Tape {
    pub(super) fn start(&mut self) {
        self.wanted_by += 1;
    }

    pub(super) fn stop(&mut self) {
        self.wanted_by = self.wanted_by.saturating_sub(1);
        if self.wanted_by == 0 {
            self.clear();
        }
    }

    pub(super) fn clear(&mut self) {
        self.records = VecDeque::new();
        self.bytes = 0;
    }

    pub(super) fn keep(&mut self, taped: Taped) {
        if self.wanted_by == 0 {
            return;
        }
        self.bytes += taped.payload.len();
        self.records.push_back(taped);
        while self.records.len() > RECORDS || self.bytes > BYTES {
            let Some(oldest) = self.records.pop_front() else { break };
            self.bytes -= oldest.payload.len();
        }
    }

    /// All records after `at`; `None` when some of them are not at hand.
    pub(super) fn after(&self, at: Seq) -> Option<Vec<Taped>> {
        let from = self.records.iter().position(|taped| taped.prev == at)?;
        Some(self.records.iter().skip(from).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tape_gives_all_records_after_a_position_or_says_that_it_cannot() {
        let mut tape = Tape::default();
        let record = |n: u64| Taped { prev: Seq(n), seq: Seq(n + 1), payload: Bytes::from_static(b"x") };
        tape.keep(record(0));
        assert_eq!(tape.after(Seq(0)), None, "it does not run");
        tape.start();
        let last = RECORDS as u64 + 11;
        (1..last).for_each(|n| tape.keep(record(n)));
        assert_eq!(tape.after(Seq(1)), None);
        let seqs = |tape: &Tape, at| {
            tape.after(Seq(at)).map(|tape| tape.iter().map(|taped| taped.seq.0).collect::<Vec<_>>())
        };
        assert_eq!(seqs(&tape, last - 2), Some(vec![last - 1, last]));

        tape.start();
        tape.stop();
        assert_eq!(seqs(&tape, last - 1), Some(vec![last]), "somebody wants it still");
        tape.stop();
        assert_eq!(tape.after(Seq(last - 1)), None);
    }
}
