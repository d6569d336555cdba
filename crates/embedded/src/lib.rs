//! The ports on plain files and channels, for a server that is one process.
//!
//! Logs and keys are files a person can read. One journal makes changes durable: whatever waits is
//! written there as one batch and synced once; only then are the files changed, listeners told, and callers
//! answered. So nobody sees what a crash could take back, and an append costs a share of one sync.

mod blocking;
mod bus;
mod change;
mod disk;
mod journal;
mod kv;
mod lock;
mod log;
mod options;
mod place;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use ports::Ports;

use bus::LocalBus;
use disk::{Disk, make_folder};
use journal::{Ending, Journal};
use kv::FileKv;
pub use kv::Looking;
use lock::{Lock, LockError};
use log::FileLog;
pub use options::{Fsync, Options};

/// Why a data directory could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("the data directory {} is in use by process {pid}", root.display())]
    Locked { root: PathBuf, pid: String },
    #[error("the data directory {} cannot be used", root.display())]
    Io { root: PathBuf, source: io::Error },
}

/// Keeps the store open: hold it as long as the ports are in use.
///
/// When it is dropped without [`Guard::close`], what was accepted is still stored, and the next start applies
/// the journal.
pub struct Guard {
    ending: Ending,
}

impl Guard {
    /// Ends the store: what was accepted is stored, everything is synced, the journal is emptied, and the data
    /// directory is free for another process. Later writes answer `Unavailable`.
    pub async fn close(self) {
        self.ending.close().await;
    }
}

/// Opens (or makes) the data directory. Whatever a crash left half done is completed or cut first.
///
/// # Errors
/// `Locked` when another process uses it; `Io` when a folder cannot be made, read or written.
pub async fn open(options: Options) -> Result<(Ports, Guard), OpenError> {
    let root = options.root.clone();
    let opened = tokio::task::spawn_blocking(move || open_files(&options)).await;
    opened.unwrap_or_else(|error| Err(OpenError::Io { root, source: io::Error::other(error) }))
}

fn open_files(options: &Options) -> Result<(Ports, Guard), OpenError> {
    let failed = |source| OpenError::Io { root: options.root.clone(), source };
    make_folder(&options.root).map_err(failed)?;
    let lock = Lock::take(&options.root.join("lock")).map_err(|error| match error {
        LockError::Taken(pid) => OpenError::Locked { root: options.root.clone(), pid },
        LockError::Io(source) => failed(source),
    })?;
    let disk = Arc::new(Disk::open(options).map_err(failed)?);
    let folder = options.root.join("journal");
    let (journal, ending) = Journal::start(folder, disk.clone(), options.fsync, lock).map_err(failed)?;
    let bus = LocalBus::default();
    let ports = Ports {
        bus: Arc::new(bus.clone()),
        log: Arc::new(FileLog { disk: disk.clone(), journal: journal.clone(), bus }),
        kv: Arc::new(FileKv::new(disk.clone(), journal)),
    };
    Ok((ports, Guard { ending }))
}
