//! Since when this process has seen what others are about. Whether one of them is dead is told by the own clock alone: those of two
//! machines differ, and nothing may be spent twice because one of them is wrong. (What is over is forgotten after an hour by
//! whichever clock.)
//!
//! Each tenant has his own: however many are about something, nobody else is forgotten for that.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;
use types::TenantId;

/// Of one tenant, whose shelf names fewer. What was seen first makes way: should it still be there it begins anew.
const MOST: usize = 64;
/// Who was looked at the longest time ago makes way.
const MOST_TENANTS: usize = 4_096;

/// Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct SeenByTenant(Arc<Mutex<HashMap<TenantId, (Seen, Instant)>>>);

/// What is seen of one tenant, by a name that each has for itself. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Seen(Arc<Mutex<HashMap<String, Instant>>>);

impl SeenByTenant {
    pub fn of(&self, tenant: &TenantId) -> Seen {
        let mut tenants = self.0.lock();
        if tenants.len() >= MOST_TENANTS && !tenants.contains_key(tenant) {
            tenants.retain(|_, (seen, _)| !seen.is_empty());
            if tenants.len() >= MOST_TENANTS {
                let last = tenants.iter().min_by_key(|(_, (_, at))| *at).map(|(tenant, _)| tenant.clone());
                last.and_then(|last| tenants.remove(&last));
            }
        }
        let (seen, at) = tenants.entry(tenant.clone()).or_insert_with(|| (Seen::default(), Instant::now()));
        *at = Instant::now();
        seen.clone()
    }
}

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

    /// The others are over.
    pub fn keep_only(&self, names: &HashSet<String>) {
        self.0.lock().retain(|name, _| names.contains(name));
    }

    fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);
    const MOMENT: Duration = Duration::from_millis(1);

    #[tokio::test(start_paused = true)]
    async fn how_long_something_is_there_counts_from_when_it_was_first_seen_here() {
        let seen = Seen::default();
        assert!(!seen.for_so_long("a", LONG));
        advance(LONG).await;
        assert!(!seen.for_so_long("a", LONG) && !seen.for_so_long("b", LONG));
        advance(MOMENT).await;
        assert!(seen.for_so_long("a", LONG) && !seen.for_so_long("b", LONG));
        seen.keep_only(&HashSet::from(["b".to_owned()]));
        assert_eq!(seen.0.lock().len(), 1);
        assert!(!seen.for_so_long("a", LONG), "it has begun anew");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_is_bounded_and_the_latest_stays() {
        let seen = Seen::default();
        for number in 0..MOST + 10 {
            seen.for_so_long(&number.to_string(), LONG);
            advance(MOMENT).await;
        }
        assert_eq!(seen.0.lock().len(), MOST);
        advance(LONG).await;
        assert!(seen.for_so_long("10", LONG) && !seen.for_so_long("9", LONG));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_forgotten_for_what_another_tenant_does() {
        let all = SeenByTenant::default();
        let tenant = |name: &str| TenantId::try_from(name.to_owned()).unwrap();
        all.of(&tenant("own")).for_so_long("a", LONG);
        for number in 0..10_000 {
            all.of(&tenant("other")).for_so_long(&number.to_string(), LONG);
        }
        // Of these nothing is under way.
        for number in 0..MOST_TENANTS + 10 {
            all.of(&tenant(&format!("t{number}")));
        }
        assert!(all.0.lock().len() <= MOST_TENANTS);
        advance(LONG + MOMENT).await;
        assert!(all.of(&tenant("own")).for_so_long("a", LONG));
        for number in 0..MOST_TENANTS + 10 {
            all.of(&tenant(&format!("u{number}"))).for_so_long("a", LONG);
        }
        assert_eq!(all.0.lock().len(), MOST_TENANTS);
    }
}
