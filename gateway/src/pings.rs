//! Pings of clients. Each is answered, and an answer is kept until it is read: a client that only pings and
//! never reads would fill the memory.

use std::time::Duration;

use tokio::time::Instant;

/// Pings taken without pause. More wait for the next second, with all that comes after them.
const AT_ONCE: u32 = 64;
const SPAN: Duration = Duration::from_secs(1);

/// Counts the pings of one socket.
pub(crate) struct Pings {
    since: Instant,
    count: u32,
}

impl Default for Pings {
    fn default() -> Self {
        Self { since: Instant::now(), count: 0 }
    }
}

impl Pings {
    /// Takes note of one; returns when the next may be read.
    pub(crate) async fn note(&mut self) {
        if self.since.elapsed() >= SPAN {
            *self = Self::default();
        }
        self.count += 1;
        if self.count >= AT_ONCE {
            tokio::time::sleep_until(self.since + SPAN).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_flood_is_slowed_down_and_everybody_else_is_not() {
        let (mut pings, start) = (Pings::default(), Instant::now());
        for _ in 1..AT_ONCE {
            pings.note().await;
        }
        assert!(start.elapsed() < SPAN);
        pings.note().await;
        assert!(start.elapsed() >= SPAN);
    }
}
