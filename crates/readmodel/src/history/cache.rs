//! Keeps what is known of the logs that were asked about last.
//!
//! All rows are counted while they are in memory, whether the log they are of is kept here or only still looked through,
//! and whether or not anybody waits for it. Beyond [`KEPT`] the logs unused for longest are let go of; the one that is
//! being read stays, and where those that are being read together have [`MOST`] the readers give up.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use ports::{Error, Result};
use types::LogId;

use super::offsets::{Offsets, Row};
use crate::index::ConversationState;

/// Logs that are kept.
const MAX_LOGS: usize = 512;
/// Rows that are kept.
const KEPT: usize = (64 << 20) / size_of::<Row>();
/// Rows that there may be for as long as they are needed.
const MOST: usize = 4 * KEPT;

pub(super) struct Cache {
    logs: Mutex<HashMap<LogId, Kept>>,
    clock: AtomicU64,
    held: Arc<Held>,
    kept: usize,
    most: usize,
}

/// How many rows there are in memory.
#[derive(Default)]
pub(super) struct Held(AtomicUsize);

struct Kept {
    offsets: Arc<Offsets>,
    used: u64,
}

impl Held {
    pub(super) fn add(&self, rows: usize) {
        self.0.fetch_add(rows, Ordering::Relaxed);
    }

    pub(super) fn remove(&self, rows: usize) {
        self.0.fetch_sub(rows, Ordering::Relaxed);
    }

    fn rows(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Default for Cache {
    fn default() -> Self {
        Self::new(KEPT, MOST)
    }
}

impl Cache {
    pub(super) fn new(kept: usize, most: usize) -> Self {
        let (logs, clock, held) = (Mutex::default(), AtomicU64::default(), Arc::default());
        Self { logs, clock, held, kept, most }
    }

    pub(super) fn of(&self, entry: &ConversationState) -> Arc<Offsets> {
        let now = self.clock.fetch_add(1, Ordering::Relaxed);
        let created_at = entry.created_at();
        let mut logs = self.logs.lock();
        if let Some(kept) = logs.get_mut(&entry.log)
            && kept.offsets.created_at == created_at
        {
            kept.used = now;
            return kept.offsets.clone();
        }
        let offsets = Arc::new(Offsets::new(created_at, self.held.clone()));
        logs.insert(entry.log.clone(), Kept { offsets: offsets.clone(), used: now });
        self.let_go(&mut logs);
        offsets
    }

    /// To be called whenever a page was read.
    ///
    /// # Errors
    /// `Unavailable` where too much is read at once.
    pub(super) fn make_room(&self) -> Result<()> {
        if self.held.rows() > self.kept {
            self.let_go(&mut self.logs.lock());
        }
        match self.held.rows() > self.most {
            true => Err(Error::Unavailable(
                "the histories of too many long conversations are read at once".to_owned(),
            )),
            false => Ok(()),
        }
    }

    #[cfg(test)]
    pub(super) fn rows(&self) -> usize {
        self.held.rows()
    }

    /// Lets go of the logs unused for longest while there are too many.
    fn let_go(&self, logs: &mut HashMap<LogId, Kept>) {
        if self.held.rows() <= self.kept && logs.len() <= MAX_LOGS {
            return;
        }
        let mut by_use: Vec<_> = logs.iter().map(|(log, kept)| (kept.used, log.clone())).collect();
        by_use.sort_unstable();
        // The newest stays, however large it is: it is being read.
        by_use.pop();
        for (_, log) in by_use {
            if self.held.rows() <= self.kept / 4 * 3 && logs.len() <= MAX_LOGS / 4 * 3 {
                return;
            }
            logs.remove(&log);
        }
    }
}
