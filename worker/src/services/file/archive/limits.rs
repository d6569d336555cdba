//! How far the making of an archive may go, and why there is none.

use std::io;
use std::time::{Duration, Instant};

use ports::rpc::Fault;
use tokio_util::sync::CancellationToken;

use super::super::super::fault::{bad_request, of_file};

/// Every level that is being walked is an open folder.
pub(super) const DEEPEST: usize = 200;

/// How much may go into an archive.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) bytes: u64,
    pub(super) time: Duration,
    /// Names that wait to be looked at, of all folders on the way down.
    pub(super) names: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 16 << 30, time: Duration::from_secs(600), names: 1_000_000 }
    }
}

/// Why there is no archive.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("The folder is nested more than {DEEPEST} levels deep; exclude what is not needed")]
    TooDeep,
    #[error("The files are larger than {} MiB together; exclude what is not needed", .0 >> 20)]
    TooLarge(u64),
    #[error("A folder has more than {0} entries; exclude what is not needed")]
    TooMany(usize),
    #[error("Packing took longer than {} seconds; exclude what is not needed", .0.as_secs())]
    TooSlow(Duration),
    #[error("Nobody waits for the archive any more")]
    Abandoned,
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        match &failure {
            Failure::Io(error) => of_file(error, "Path not found"),
            Failure::TooDeep | Failure::TooLarge(_) | Failure::TooMany(_) | Failure::TooSlow(_) => {
                bad_request(failure.to_string())
            }
            Failure::Abandoned => Self::internal(failure),
        }
    }
}

impl From<rustix::io::Errno> for Failure {
    fn from(error: rustix::io::Errno) -> Self {
        Self::Io(error.into())
    }
}

/// Whether the walk may go on.
pub(super) struct Watch<'a> {
    pub(super) limits: Limits,
    pub(super) began: Instant,
    pub(super) stop: &'a CancellationToken,
}

impl Watch<'_> {
    pub(super) fn look(&self) -> Result<(), Failure> {
        if self.stop.is_cancelled() {
            return Err(Failure::Abandoned);
        }
        if self.began.elapsed() > self.limits.time {
            return Err(Failure::TooSlow(self.limits.time));
        }
        Ok(())
    }
}
