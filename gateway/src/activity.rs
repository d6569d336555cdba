use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// How long the server runs, and for how long nobody has used it.
pub struct Activity {
    started: Instant,
    /// Seconds after `started`.
    last_use: AtomicU64,
}

impl Default for Activity {
    fn default() -> Self {
        Self { started: Instant::now(), last_use: AtomicU64::new(0) }
    }
}

impl Activity {
    /// The server was used now.
    pub fn touch(&self) {
        self.last_use.fetch_max(self.uptime(), Ordering::Relaxed);
    }

    /// Whole seconds since start.
    #[must_use]
    pub fn uptime(&self) -> u64 {
        self.started.elapsed().as_secs()
    }

    /// Whole seconds since the last use, or since start.
    #[must_use]
    pub fn idle(&self) -> u64 {
        self.uptime().saturating_sub(self.last_use.load(Ordering::Relaxed))
    }
}
