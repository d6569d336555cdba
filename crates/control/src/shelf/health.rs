//! Whether stored secrets can be opened. That they cannot is a server with a wrong key, which an operator wants to know before
//! the first user does.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How often a stored secret did not open since the start. Cheap to clone.
#[derive(Clone, Default)]
pub struct SecretHealth(Arc<AtomicU64>);

impl SecretHealth {
    pub(super) fn note_unopened(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    #[must_use]
    pub fn unopened(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
