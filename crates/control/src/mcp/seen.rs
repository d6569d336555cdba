//! Since when this process has seen what others are about. Whether one of them is dead is told by the own clock alone: those of two
//! machines differ, and nothing may be spent twice because one of them is wrong.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// What was seen first makes way: should it still be there it begins anew.
const MOST: usize = 4_096;

/// By a name that each has for itself. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Seen(Arc<Mutex<HashMap<String, Instant>>>);

impl Seen {
    /// Whether it was seen here this long ago already. It has been seen from now on.
    pub fn for_so_long(&self, name: &str, long: Duration) -> bool {
        let mut seen = self.0.lock();
        if let Some(since) = seen.get(name) {
            return since.elapsed() > long;
        }
        if seen.len() >= MOST {
            let first = seen.iter().min_by_key(|(_, since)| **since).map(|(name, _)| name.clone());
            first.and_then(|first| seen.remove(&first));
        }
        seen.insert(name.to_owned(), Instant::now());
        false
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn how_long_something_is_there_counts_from_when_it_was_first_seen_here() {
        let seen = Seen::default();
        assert!(!seen.for_so_long("a", LONG));
        advance(LONG).await;
        assert!(!seen.for_so_long("a", LONG) && !seen.for_so_long("b", LONG));
        advance(Duration::from_millis(1)).await;
        assert!(seen.for_so_long("a", LONG) && !seen.for_so_long("b", LONG));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_is_bounded_and_the_latest_stays() {
        let seen = Seen::default();
        for number in 0..MOST + 10 {
            seen.for_so_long(&number.to_string(), LONG);
            advance(Duration::from_millis(1)).await;
        }
        assert_eq!(seen.0.lock().len(), MOST);
        advance(LONG).await;
        assert!(seen.for_so_long("10", LONG) && !seen.for_so_long("9", LONG));
    }
}
