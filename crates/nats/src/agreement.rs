//! Waiting for several servers to agree on a message that one of them has. Until then they refuse whatever comes after it, and they may
//! lose it, so that nobody has been quicker.

use std::time::Duration;

use ports::retry::Backoff;
use ports::{Error, Result};
use tokio::time::{Instant, sleep};

const PATIENCE: Duration = Duration::from_secs(2);
/// Who has many logs asks for as many at once, each time with all pieces of a body.
const PAUSES: Backoff = Backoff::new(Duration::from_millis(5), Duration::from_millis(400));

pub struct Agreement {
    deadline: Instant,
    pauses: Backoff,
}

impl Agreement {
    pub fn awaited() -> Self {
        Self { deadline: Instant::now() + PATIENCE, pauses: PAUSES }
    }

    /// Returns when it is time to try again.
    ///
    /// # Errors
    /// `Unavailable` where it takes too long.
    pub async fn wait(&mut self) -> Result<()> {
        if Instant::now() > self.deadline {
            return Err(Error::Unavailable("the servers do not agree on a message".to_owned()));
        }
        sleep(self.pauses.pause()).await;
        Ok(())
    }
}
