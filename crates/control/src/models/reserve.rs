//! What the model calls that are under way may cost, held back from what is left of a budget until they are counted.
//!
//! A call is counted when it is over. Many that begin at the same time would all see the same sum, below its limit. So each
//! call reserves what it may cost, and one that does not fit beside those under way waits until some of them are over. The
//! first always goes: one call may go beyond a limit, by what it costs itself.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// What is reserved of each sum, in US dollars. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Reserve(Arc<Inner>);

#[derive(Default)]
struct Inner {
    held: Mutex<HashMap<String, Held>>,
    released: Notify,
}

#[derive(Default)]
struct Held {
    calls: usize,
    cost: f64,
}

/// One call's part, until it is dropped.
pub(super) struct Reserved {
    reserve: Reserve,
    keys: Vec<String>,
    cost: f64,
}

/// How much of a sum is left.
pub(super) struct Left {
    pub key: String,
    pub cost: f64,
}

impl Reserve {
    /// Reserves `cost` of all sums; `None` where it does not fit beside the calls under way.
    pub fn take(&self, sums: &[Left], cost: f64) -> Option<Reserved> {
        let mut held = self.0.held.lock();
        let fits = |left: &Left| {
            held.get(&left.key).is_none_or(|held| held.calls == 0 || held.cost + cost <= left.cost)
        };
        if !sums.iter().all(fits) {
            return None;
        }
        let keys: Vec<String> = sums.iter().map(|left| left.key.clone()).collect();
        for key in &keys {
            let held = held.entry(key.clone()).or_default();
            held.calls += 1;
            held.cost += cost;
        }
        Some(Reserved { reserve: self.clone(), keys, cost })
    }

    /// Returns when something has been given back.
    pub async fn released(&self) {
        self.0.released.notified().await;
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        let mut all = self.reserve.0.held.lock();
        for key in &self.keys {
            let Some(held) = all.get_mut(key) else { continue };
            held.calls -= 1;
            held.cost -= self.cost;
            if held.calls == 0 {
                all.remove(key);
            }
        }
        drop(all);
        self.reserve.0.released.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(key: &str, cost: f64) -> Left {
        Left { key: key.to_owned(), cost }
    }

    #[test]
    fn calls_under_way_fit_into_what_is_left_and_the_first_always_does() {
        let reserve = Reserve::default();
        let first = reserve.take(&[left("own", 1.0), left("tenant", 9.0)], 5.0).unwrap();
        assert!(reserve.take(&[left("own", 1.0), left("tenant", 9.0)], 0.1).is_none());
        assert!(reserve.take(&[left("other", 9.0), left("tenant", 9.0)], 5.0).is_none(), "the tenant's");
        let second = reserve.take(&[left("other", 9.0), left("tenant", 9.0)], 4.0).unwrap();
        drop(first);
        let third = reserve.take(&[left("own", 1.0), left("tenant", 9.0)], 5.0).unwrap();
        drop((second, third));
        assert!(reserve.0.held.lock().is_empty());
    }
}
