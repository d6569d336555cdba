//! Being told of every record of a bash log.

use std::sync::Arc;
use std::time::Duration;

use ports::{Error, Result};
use tokio::sync::watch;
use tokio::time::timeout;
use types::Seq;

use super::tail::{STEP, Tail};
use crate::followed::{Mark, Taped};

/// Where the store does not have yet what was published, or has it no more.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Somebody who is told of every record from a position on. The log is followed for as long as there is one.
pub struct Listener {
    tail: Arc<Tail>,
    marks: watch::Receiver<Mark>,
    at: Mark,
}

impl Listener {
    /// Tells of the records of `tail` from the beginning on, or of those that come.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn new(tail: Arc<Tail>, from_the_beginning: bool) -> Result<Self> {
        let marks = tail.followed.watch();
        let at = match from_the_beginning {
            true => Mark { at: Seq::ZERO, ..tail.followed.mark() },
            false => tail.followed.end(tail.store()).await?,
        };
        tail.followed.start_tape();
        Ok(Self { tail, marks, at })
    }

    /// The next records, as soon as there are any. A log that was cleared begins anew.
    ///
    /// # Errors
    /// Those of the store.
    ///
    /// # Cancel safety
    /// Safe: what was not returned is told of again.
    pub async fn next(&mut self) -> Result<Vec<Taped>> {
        loop {
            let mark = *self.marks.borrow_and_update();
            if mark.generation != self.at.generation {
                self.at = Mark { generation: mark.generation, at: Seq::ZERO };
            }
            let records = self.tail.followed.after(self.tail.store(), self.at.at, STEP).await?;
            if let Some(last) = records.last() {
                self.at.at = last.seq;
                return Ok(records);
            }
            let patience = if mark.at > self.at.at { LOOK_AGAIN } else { Duration::MAX };
            if let Ok(Err(error)) = timeout(patience, self.marks.changed()).await {
                return Err(Error::Internal(error.to_string()));
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.tail.followed.stop_tape();
    }
}
