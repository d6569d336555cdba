//! For how long something has stayed as it is.

use std::time::{Duration, Instant};

/// For how long a record has stayed as it is, on the clock of who looks at it. What somebody must keep up is given up by who
/// does not write it any more; nobody's clock is compared with another's.
#[derive(Clone, Copy, Debug)]
pub struct Unchanged<T>(Option<(T, Instant)>);

impl<T> Default for Unchanged<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T: PartialEq> Unchanged<T> {
    /// Takes note of what it is now, by its revision or what else changes with each writing; answers how long it has been so.
    pub fn age(&mut self, mark: T, now: Instant) -> Duration {
        let since = match self.0.take() {
            Some((last, since)) if last == mark => since,
            _ => now,
        };
        self.0 = Some((mark, since));
        now.saturating_duration_since(since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_again_is_as_young_as_its_last_writing_was_seen() {
        let (mut record, start, second) = (Unchanged::default(), Instant::now(), Duration::from_secs(1));
        assert_eq!(record.age(7, start), Duration::ZERO, "nobody knows for how long it has been there");
        assert_eq!(record.age(7, start + 5 * second), 5 * second);
        assert_eq!(record.age(8, start + 6 * second), Duration::ZERO);
        assert_eq!(record.age(8, start + 8 * second), 2 * second);
    }
}
