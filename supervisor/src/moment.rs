//! A point in time on both clocks: the monotonic one for waits, the wall clock for records.

use std::ops::Add;
use std::time::{Duration, Instant};

use types::time::{millis, unix_ms};

#[derive(Clone, Copy, Debug)]
pub struct Moment {
    pub instant: Instant,
    pub unix_ms: u64,
}

impl Moment {
    pub fn now() -> Self {
        Self { instant: Instant::now(), unix_ms: unix_ms() }
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self { instant: self.instant + duration, unix_ms: self.unix_ms + millis(duration) }
    }
}
