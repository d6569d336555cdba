//! Keeps what is known of the logs that were asked about last.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use types::LogId;

use super::offsets::Offsets;
use crate::index::ConversationState;

/// Logs kept, and events over all of them (about 70 bytes each).
const MAX_LOGS: usize = 512;
const MAX_EVENTS: usize = 400_000;

#[derive(Default)]
pub(super) struct Cache {
    logs: Mutex<HashMap<LogId, Kept>>,
    clock: AtomicU64,
    events: AtomicUsize,
}

struct Kept {
    offsets: Arc<Offsets>,
    used: u64,
}

impl Cache {
    pub(super) fn of(&self, entry: &ConversationState) -> Arc<Offsets> {
        let now = self.clock.fetch_add(1, Ordering::Relaxed);
        let created_at = entry.created_at();
        let mut logs = self.logs();
        if let Some(kept) = logs.get_mut(&entry.log)
            && kept.offsets.created_at == created_at
        {
            kept.used = now;
            return kept.offsets.clone();
        }
        let offsets = Arc::new(Offsets::new(created_at));
        logs.insert(entry.log.clone(), Kept { offsets: offsets.clone(), used: now });
        offsets
    }

    /// Counts new rows, and lets go of the logs unused for longest while there are too many.
    pub(super) fn grown(&self, rows: usize) {
        let mut events = self.events.fetch_add(rows, Ordering::Relaxed) + rows;
        let mut logs = self.logs();
        if events <= MAX_EVENTS && logs.len() <= MAX_LOGS {
            return;
        }
        let mut by_use: Vec<_> = logs.iter().map(|(log, kept)| (kept.used, log.clone())).collect();
        by_use.sort_unstable();
        // The newest stays, however large it is: it is being read.
        by_use.pop();
        for (_, log) in by_use {
            if events <= MAX_EVENTS * 3 / 4 && logs.len() <= MAX_LOGS * 3 / 4 {
                break;
            }
            let Some(kept) = logs.remove(&log) else { continue };
            events = events.saturating_sub(kept.offsets.read(|rows| rows.iter().len()));
        }
        // Counted anew: logs that were replaced are not in the sum any more.
        let sum = logs.values().map(|kept| kept.offsets.read(|rows| rows.iter().len())).sum();
        self.events.store(sum, Ordering::Relaxed);
    }

    fn logs(&self) -> MutexGuard<'_, HashMap<LogId, Kept>> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
