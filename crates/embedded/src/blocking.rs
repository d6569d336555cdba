//! Work that may wait for the disk, off the runtime's threads.

use std::io;
use std::time::Duration;

use ports::{Error, Result};

/// How long a caller waits for a disk that does not answer.
const DEADLINE: Duration = Duration::from_secs(30);

/// Runs `work` where it may wait for the disk.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T> {
    match tokio::time::timeout(DEADLINE, tokio::task::spawn_blocking(work)).await {
        Ok(Ok(outcome)) => outcome.map_err(failed),
        Ok(Err(_)) => Err(Error::Unavailable("the work on the disk was cut short".to_owned())),
        Err(_) => Err(Error::Unavailable("the disk does not answer".to_owned())),
    }
}

/// Damage is for a person; everything else may pass.
pub fn failed(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::InvalidData => Error::Internal(error.to_string()),
        io::ErrorKind::NotFound => Error::NotFound,
        _ => Error::Unavailable(error.to_string()),
    }
}
