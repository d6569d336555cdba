//! The ports on plain files and channels, for a server that is one process.

mod options;

use std::path::PathBuf;

pub use options::{Fsync, Options};
use ports::Ports;

/// Why a data directory could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the data directory {} is in use by process {pid}", root.display())]
    Locked { root: PathBuf, pid: String },
    #[error("cannot use {}: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
}

/// Keeps the store open: hold it as long as the ports are in use.
pub struct Guard {}

impl Guard {
    /// Ends the store: what was accepted is stored, everything is synced, and the data directory is free for
    /// another process. Later calls on the ports answer `Unavailable`.
    pub async fn close(self) {}
}

/// Opens (or makes) the data directory. Whatever a crash left half done is completed or cut first.
///
/// # Errors
/// `Locked` when another process uses it; `Io` when a folder cannot be made, read or written.
pub async fn open(options: Options) -> Result<(Ports, Guard), OpenError> {
    Err(OpenError::Io { path: options.root, source: std::io::ErrorKind::Unsupported.into() })
}
