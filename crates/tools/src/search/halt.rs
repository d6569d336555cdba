//! When a search ends without having come to its end.

use std::pin::pin;
use std::time::{Duration, Instant};

use tokio_util::sync::{CancellationToken, DropGuard};

const LONGEST: Duration = Duration::from_secs(30);

/// A search that has not noticed its end by then is left to itself.
const GRACE: Duration = Duration::from_millis(500);

/// Asked now and then by what searches.
pub struct Halt {
    deadline: Instant,
    cancel: CancellationToken,
}

/// Why it ends.
#[derive(Debug, PartialEq, Eq)]
pub enum Stop {
    TooLong,
    Interrupted,
    /// What is wrong, in words for the model.
    Failed(String),
}

impl Halt {
    /// Of a search that begins now; it also ends when the guard is dropped.
    pub fn new(cancel: &CancellationToken) -> (Self, DropGuard) {
        Self::within(LONGEST, cancel)
    }

    pub fn within(longest: Duration, cancel: &CancellationToken) -> (Self, DropGuard) {
        let cancel = cancel.child_token();
        (Self { deadline: Instant::now() + longest, cancel: cancel.clone() }, cancel.drop_guard())
    }

    pub fn check(&self) -> Result<(), Stop> {
        if self.cancel.is_cancelled() {
            return Err(Stop::Interrupted);
        }
        if Instant::now() >= self.deadline { Err(Stop::TooLong) } else { Ok(()) }
    }
}

/// What the search answers, in time whatever it is busy with.
///
/// # Errors
/// In words for the model.
pub async fn in_time<T>(
    search: impl Future<Output = Result<T, String>>,
    cancel: &CancellationToken,
) -> Result<T, String> {
    let interrupted = async {
        cancel.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    let mut search = pin!(search);
    tokio::select! {
        found = &mut search => found,
        () = interrupted => Err(Stop::Interrupted.told().unwrap_or_else(|why| why)),
        () = tokio::time::sleep(LONGEST + GRACE) => Err(Stop::TooLong.told().unwrap_or_else(|why| why)),
    }
}

impl Stop {
    /// In words for the model; an error where nobody waits for them any more.
    pub fn told(self) -> Result<String, String> {
        match self {
            Self::TooLong => Ok(format!(
                "The search took longer than {} seconds and was ended. Search in a smaller folder.",
                LONGEST.as_secs()
            )),
            Self::Failed(why) => Ok(why),
            Self::Interrupted => Err("interrupted".to_owned()),
        }
    }
}
