//! How much is kept of ends that a hook has not been told yet, and for how long they have waited for their deletion.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// What a key takes at least, whatever is under it.
const LEAST: usize = 4 << 10;

/// The bytes of all ends of a hook, as far as they were seen.
pub(super) struct Ledger {
    most: usize,
    /// Of ends whose record was seen.
    total: usize,
    keys: HashMap<String, usize>,
    ends: HashMap<String, End>,
}

#[derive(Default)]
struct End {
    bytes: usize,
    has_record: bool,
}

impl Ledger {
    pub fn new(most: usize) -> Self {
        Self { most, total: 0, keys: HashMap::new(), ends: HashMap::new() }
    }

    /// A key of the end `record` has this many bytes.
    pub fn put(&mut self, record: &str, key: &str, bytes: usize) {
        self.remove(record, key);
        let bytes = bytes.max(LEAST);
        self.keys.insert(key.to_owned(), bytes);
        let end = self.ends.entry(record.to_owned()).or_default();
        self.total -= end.counts();
        end.bytes += bytes;
        end.has_record |= key == record;
        self.total += end.counts();
    }

    pub fn remove(&mut self, record: &str, key: &str) {
        let Some(bytes) = self.keys.remove(key) else { return };
        let Some(end) = self.ends.get_mut(record) else { return };
        self.total -= end.counts();
        end.bytes -= bytes;
        end.has_record &= key != record;
        self.total += end.counts();
        if end.bytes == 0 {
            self.ends.remove(record);
        }
    }

    /// All keys, those of ends and of pieces.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.keys.keys().map(String::as_str)
    }

    /// The end that has most, where all together have too much. Pieces whose record was not seen do not count: others could not
    /// make room for them.
    pub fn too_much(&self) -> Option<String> {
        let largest =
            || self.ends.iter().max_by_key(|(_, end)| end.counts()).map(|(record, _)| record.clone());
        (self.total > self.most).then(largest).flatten()
    }
}

impl End {
    const fn counts(&self) -> usize {
        if self.has_record { self.bytes } else { 0 }
    }
}

/// How long ends have waited for their conversation to go, since they were put aside last.
pub(super) struct Waits {
    /// A deletion that takes longer has failed.
    patience: Duration,
    since: Mutex<HashMap<String, (u64, Instant)>>,
}

impl Waits {
    pub fn of(patience: Duration) -> Self {
        Self { patience, since: Mutex::default() }
    }

    /// Whether the end that has this revision has waited for long enough.
    pub fn is_over(&self, key: &str, revision: u64, now: Instant) -> bool {
        let mut since = self.since.lock();
        let wait = since.entry(key.to_owned()).or_insert((revision, now));
        if wait.0 != revision {
            *wait = (revision, now);
        }
        now >= wait.1 + self.patience
    }

    pub fn forget(&self, key: &str) {
        self.since.lock().remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_ends_that_have_too_much_together_the_largest_makes_room() {
        let mut ledger = Ledger::new(100 * LEAST);
        for end in 0..40 {
            ledger.put(&format!("{end}"), &format!("{end}"), 1);
        }
        for piece in 0..6 {
            ledger.put("7", &format!("7.{piece}"), 10 * LEAST);
            ledger.put("7", &format!("7.{piece}"), 10 * LEAST);
        }
        assert_eq!(ledger.too_much(), None);
        ledger.put("8", "8.0", 2 * LEAST);
        assert_eq!(ledger.too_much().as_deref(), Some("7"));
        ledger.remove("7", "7.0");
        assert_eq!(ledger.too_much(), None);
        ledger.put("8", "8.1", 90 * LEAST);
        assert_eq!(ledger.too_much().as_deref(), Some("8"));
        for key in ["8", "8.0", "8.1"] {
            ledger.remove("8", key);
        }
        assert_eq!((ledger.too_much(), ledger.total), (None, (39 + 50) * LEAST));
    }

    #[test]
    fn for_pieces_without_a_record_no_other_end_is_given_up() {
        let mut ledger = Ledger::new(10 * LEAST);
        ledger.put("a", "a", 1);
        for piece in ["b.0", "b.1"] {
            ledger.put("b", piece, 6 * LEAST);
        }
        assert_eq!((ledger.too_much(), ledger.total, ledger.keys().count()), (None, LEAST, 3));
        ledger.put("b", "b", 1);
        assert_eq!((ledger.too_much().as_deref(), ledger.total), (Some("b"), 14 * LEAST), "it has come");
        ledger.remove("b", "b");
        assert_eq!((ledger.too_much(), ledger.total), (None, LEAST));
    }

    #[tokio::test]
    async fn what_is_put_aside_anew_waits_anew() {
        let (waits, now) = (Waits::of(Duration::from_secs(120)), Instant::now());
        let later = |seconds| now + Duration::from_secs(seconds);
        assert!(!waits.is_over("end", 1, now) && !waits.is_over("end", 1, later(119)));
        assert!(!waits.is_over("end", 2, later(119)) && !waits.is_over("end", 2, later(121)));
        assert!(waits.is_over("end", 2, later(239)));
    }
}
