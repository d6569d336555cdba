//! Whether stored secrets can be opened. That they cannot is a server with a wrong key, which an operator wants to know before
//! the first user does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use telemetry::metrics::Work;

/// How often a stored secret did not open since the start. Cheap to clone.
#[derive(Clone)]
pub struct SecretHealth {
    unopened: Arc<AtomicU64>,
    metrics: Work,
}

impl SecretHealth {
    pub(super) fn new(metrics: Work) -> Self {
        Self { unopened: Arc::default(), metrics }
    }

    pub(super) fn note_unopened(&self) {
        self.metrics.secret_unopened();
        self.unopened.fetch_add(1, Ordering::Relaxed);
    }

    #[must_use]
    pub fn unopened(&self) -> u64 {
        self.unopened.load(Ordering::Relaxed)
    }
}
