//! The streams that there are, and what their cursors are made with.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use readmodel::index::ConversationState;
use tokio::sync::{Semaphore, SemaphorePermit};
use types::TenantId;

use super::base::Base;
use super::cursor::Cursors;
use super::known::Known;
use crate::config::Config;

/// Streams of all tenants that go through all conversations at the same time.
const BEGINNING: usize = 2;

/// Cheap to clone.
#[derive(Clone)]
pub struct Streams(Arc<Inner>);

struct Inner {
    cursors: Cursors,
    /// Streams that a tenant may have.
    most: usize,
    open: Mutex<HashMap<TenantId, Open>>,
    beginning: Semaphore,
}

/// Those of a tenant.
#[derive(Default)]
struct Open {
    count: usize,
    /// What the last ones have begun with.
    base: Weak<Base>,
}

/// A stream's place among those of its tenant, until it is dropped.
pub struct Seat {
    streams: Streams,
    tenant: TenantId,
}

impl Streams {
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let cursors = Cursors::new(&config.secret_key, &config.site.previous_secret_keys);
        Self(Arc::new(Inner {
            cursors,
            most: config.limits.streams_per_tenant,
            open: Mutex::default(),
            beginning: Semaphore::new(BEGINNING),
        }))
    }

    /// `None` when there are too many.
    #[must_use]
    pub fn seat(&self, tenant: &TenantId) -> Option<Seat> {
        let mut open = self.0.open.lock();
        let open = open.entry(tenant.clone()).or_default();
        if open.count >= self.0.most {
            return None;
        }
        open.count += 1;
        Some(Seat { streams: self.clone(), tenant: tenant.clone() })
    }

    /// To go through all conversations; `None` never comes.
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.0.beginning.acquire().await.ok()
    }

    /// What a client has that has been told everything of these conversations, all of `tenant`. What other streams have, too, is
    /// there once.
    pub(super) fn knowing(&self, tenant: &TenantId, present: &[Arc<ConversationState>]) -> Known {
        let now = Base::of_present(present);
        let shared = self.0.open.lock().get(tenant).and_then(|open| open.base.upgrade());
        if let Some(known) = shared.and_then(|shared| Known::of_shared(&shared, &now)) {
            return known;
        }
        let now = Arc::new(now);
        if let Some(open) = self.0.open.lock().get_mut(tenant) {
            open.base = Arc::downgrade(&now);
        }
        Known::of(now)
    }

    pub(super) fn cursors(&self) -> &Cursors {
        &self.0.cursors
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut open = self.streams.0.open.lock();
        let Entry::Occupied(mut open) = open.entry(self.tenant.clone()) else { return };
        open.get_mut().count -= 1;
        if open.get().count == 0 {
            open.remove();
        }
    }
}
