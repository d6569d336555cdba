//! The streams that there are, and what their cursors are made with.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};
use types::TenantId;

use super::cursor::Cursors;
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
    open: Mutex<HashMap<TenantId, usize>>,
    beginning: Semaphore,
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
        let count = open.entry(tenant.clone()).or_default();
        if *count >= self.0.most {
            return None;
        }
        *count += 1;
        Some(Seat { streams: self.clone(), tenant: tenant.clone() })
    }

    /// To go through all conversations; `None` never comes.
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.0.beginning.acquire().await.ok()
    }

    pub(super) fn cursors(&self) -> &Cursors {
        &self.0.cursors
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut open = self.streams.0.open.lock();
        let Entry::Occupied(mut count) = open.entry(self.tenant.clone()) else { return };
        *count.get_mut() -= 1;
        if *count.get() == 0 {
            count.remove();
        }
    }
}
