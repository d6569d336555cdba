//! How long the server runs, and for how long nobody has used it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// When clients used the server. Cheap to clone.
#[derive(Clone)]
pub struct Activity(Arc<Inner>);

struct Inner {
    started: Instant,
    /// Seconds after `started`.
    last_use: AtomicU64,
}

impl Default for Activity {
    fn default() -> Self {
        Self(Arc::new(Inner { started: Instant::now(), last_use: AtomicU64::new(0) }))
    }
}

impl Activity {
    /// The server was used now.
    pub fn touch(&self) {
        self.0.last_use.fetch_max(self.uptime(), Ordering::Relaxed);
    }

    /// Whole seconds since start.
    #[must_use]
    pub fn uptime(&self) -> u64 {
        self.0.started.elapsed().as_secs()
    }

    /// Whole seconds since the last use, or since start.
    #[must_use]
    pub fn idle(&self) -> u64 {
        self.uptime().saturating_sub(self.0.last_use.load(Ordering::Relaxed))
    }
}
