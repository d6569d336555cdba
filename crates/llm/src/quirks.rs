//! What servers have refused and how they take it, remembered for a while: so that each is asked in vain once and not with every
//! call.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use reqwest::Url;
use tokio::time::Instant;

use crate::refusal::Adjustments;
use crate::route::Route;

/// A server may be another one after this.
const KEPT: Duration = Duration::from_secs(6 * 60 * 60);
/// Servers and models, of which a process knows few.
const MOST: usize = 1_000;

#[derive(Default)]
pub(crate) struct Quirks(Mutex<HashMap<(String, String), Quirk>>);

struct Quirk {
    adjustments: Adjustments,
    until: Instant,
}

impl Quirks {
    pub(crate) fn of(&self, route: &Route) -> Adjustments {
        let known = self.0.lock();
        let quirk = known.get(&key(route)).filter(|quirk| quirk.until > Instant::now());
        quirk.map(|quirk| quirk.adjustments.clone()).unwrap_or_default()
    }

    /// The model of this route answers with these, and with less it does not.
    pub(crate) fn learn(&self, route: &Route, adjustments: Adjustments) {
        let mut known = self.0.lock();
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(key(route), Quirk { adjustments, until: Instant::now() + KEPT });
    }
}

fn key(route: &Route) -> (String, String) {
    let origin = |url: &Url| format!("{}{}", url.origin().ascii_serialization(), url.path());
    (origin(&route.url), route.model.clone())
}
