//! Whoever clears the events disturbs nobody who reads them.

use ports::{Error, Result};

/// How often somebody may clear them while they are read.
const TRIES: usize = 5;

/// What `read` has read, which looks events up and then takes them from the log. Where they were cleared in between (a conflict)
/// it is done again, and finds what is there now.
///
/// # Errors
/// What `read` says, and [`Error::Unavailable`] where they are cleared again and again.
pub async fn unless_cleared<T, F>(read: impl Fn() -> F) -> Result<T>
where
    F: Future<Output = Result<T>>,
{
    for _ in 0..TRIES {
        match read().await {
            Err(Error::Conflict { .. }) => {}
            outcome => return outcome,
        }
    }
    Err(Error::Unavailable("the events are cleared again and again".to_owned()))
}
