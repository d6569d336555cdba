//! How much of an archive is read, and for how long: what is in it may be a thousand times what was fetched.

use std::io::{self, Read};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

const MOST_BYTES: u64 = 4 << 30;
const MOST_ENTRIES: usize = 100_000;
const MOST_OF_PATHS: usize = 16 << 20;
const PATIENCE: Duration = Duration::from_secs(5 * 60);

pub(super) struct Bounds {
    /// Of the archive as it is when it is not packed, with all that is passed over.
    pub bytes: u64,
    /// Of the archive, and as many folders above them.
    pub entries: usize,
    /// Of the paths of all of these together.
    pub path_bytes: usize,
    pub until: Instant,
    /// Nobody waits for it any more.
    pub ended: CancellationToken,
}

/// Why reading ends before the archive does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Bound {
    #[error("there is more than is read")]
    Bytes,
    #[error("it takes too long")]
    Time,
    #[error("nobody waits for it any more")]
    Ended,
}

/// Fails at a bound, with a [`Bound`] as the cause.
pub(super) struct Bounded<R> {
    inner: R,
    left: u64,
    until: Instant,
    ended: CancellationToken,
}

impl Bounds {
    pub fn usual(ended: CancellationToken) -> Self {
        let until = Instant::now() + PATIENCE;
        Self { bytes: MOST_BYTES, entries: MOST_ENTRIES, path_bytes: MOST_OF_PATHS, until, ended }
    }
}

impl Bound {
    /// The bound at which reading has failed, if it was one.
    pub fn of(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref::<Self>().copied()
    }
}

impl<R: Read> Bounded<R> {
    pub fn new(inner: R, bounds: &Bounds) -> Self {
        Self { inner, left: bounds.bytes, until: bounds.until, ended: bounds.ended.clone() }
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ended.is_cancelled() {
            return Err(io::Error::other(Bound::Ended));
        }
        if Instant::now() >= self.until {
            return Err(io::Error::other(Bound::Time));
        }
        let read = self.inner.read(buffer)?;
        let left = self.left.checked_sub(read as u64);
        self.left = left.ok_or_else(|| io::Error::other(Bound::Bytes))?;
        Ok(read)
    }
}
