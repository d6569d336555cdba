//! What makes every change durable: requests are checked in order, written to one file as a batch, synced
//! once, and only then done to the real files. What a crash cut short, the next start does again.
//!
//! The life of a change:
//!
//! 1. *Queued.* A caller hands a [`Transaction`] in; from then on it runs even if nobody waits for it. One thread, the
//!    committer, owns the segments and is the only one that changes files of the store.
//! 2. *Staged.* The committer takes all that wait. Each checks its condition against the files and against what those
//!    before it in the batch will do ([`Ahead`]), and adds its frame to the batch, or is refused.
//! 3. *Stored.* The batch is written behind what is in the segment and synced. Only now it has happened. A batch that
//!    cannot be written or synced is cut off again and refused.
//! 4. *Applied.* Each frame is done to the real files, in order, without syncing them. Where one fails, it and those
//!    after it are taken back out of the segment and refused.
//! 5. *Settled.* The caller is answered and listeners are told. What they see is stored.
//!
//! A segment that has become long is followed by a new one, and `checkpoint` syncs the file systems and then removes the
//! old ones. If the file systems cannot be synced, the old ones stay, and as the system may have dropped what it could
//! not write while it still shows it, everything in the journal is written to the files again before the next
//! checkpoint may remove anything. A journal that becomes too long meanwhile takes nothing in until it could be shortened.
//!
//! At a start the segments that are there are applied again from the first to the last, which changes nothing where
//! it was done before. `replay` says what becomes of those that are damaged or cannot be applied, `scan` how damage is
//! told from what a crash tore.
//!
//! It ends when the [`Ending`] is closed (everything synced, no segment left) or dropped (the segments stay). The lock
//! on the data directory is the thread's: it goes last.

mod aside;
mod checkpoint;
mod commit;
mod frame;
mod queue;
mod replay;
mod scan;
mod segment;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use ports::{Error, Result};
use tokio::sync::oneshot;

use crate::disk::Disk;
use crate::lock::Lock;
use crate::options::Fsync;
use crate::place::Place;
use commit::Committer;
pub use frame::FrameWriter;
pub use queue::End;
use queue::{Queue, closed};

/// How long a caller waits for a disk that does not answer.
const DEADLINE: Duration = Duration::from_secs(30);
/// How long an orderly end may take. What is not synced by then is in the journal.
const ENDING_DEADLINE: Duration = Duration::from_secs(5);
/// The most that one transaction may hold.
pub const MAX_BYTES: usize = 64 << 20;

/// One request: its check, its changes, its answer.
pub trait Transaction: Send {
    /// Roughly what it holds in memory.
    fn bytes(&self) -> usize;

    /// Checks the precondition and writes the changes, or none if there is nothing to do.
    ///
    /// # Errors
    /// What the caller is told when the precondition does not hold.
    fn stage(&mut self, stage: &mut Stage<'_>) -> Result<()>;

    /// Answers the caller; under `Ok` the changes are stored and visible, and this also makes them known.
    fn settle(self: Box<Self>, outcome: Result<()>);
}

/// What a transaction sees when it is checked: the files, and what those before it in the batch will do.
pub struct Stage<'a> {
    pub disk: &'a Disk,
    pub ahead: &'a mut Ahead,
    pub frame: &'a mut FrameWriter,
}

/// The state after the batch so far, where it differs from that of the files.
#[derive(Default)]
pub struct Ahead {
    pub tails: HashMap<Place, u64>,
    /// By key; `None` if it is removed.
    pub revisions: HashMap<Place, Option<u64>>,
    /// By bucket.
    pub highest_revisions: HashMap<String, u64>,
}

/// The way in for requests.
#[derive(Clone)]
pub struct Journal(Arc<Queue>);

/// Ends the journal.
pub struct Ending {
    queue: Arc<Queue>,
    ended: oneshot::Receiver<()>,
}

impl Journal {
    /// Does again what the segments in `folder` say, then takes requests. The lock is held until the end.
    ///
    /// # Errors
    /// When a segment or one of the files it names cannot be read or written.
    pub fn start(
        folder: PathBuf,
        disk: Arc<Disk>,
        fsync: Fsync,
        lock: Lock,
    ) -> std::io::Result<(Self, Ending)> {
        let old = replay::replay(&folder, &disk)?;
        let queue = Arc::new(Queue::new());
        let (done, ended) = oneshot::channel();
        let leaving = disk.clone();
        let committer = Committer::new(folder, &old, disk, fsync, queue.clone());
        thread::Builder::new().name("journal".to_owned()).spawn(move || {
            committer.run();
            leaving.leave();
            drop(lock);
            // Nobody may be waiting for the end.
            let _ = done.send(());
        })?;
        Ok((Self(queue.clone()), Ending { queue, ended }))
    }

    /// Runs the transaction that `make` builds around the place for its answer.
    ///
    /// # Errors
    /// What the transaction answers; `Unavailable` when the store is closed or the disk does not answer.
    pub async fn run<T: Send>(
        &self,
        make: impl FnOnce(oneshot::Sender<Result<T>>) -> Box<dyn Transaction> + Send,
    ) -> Result<T> {
        let (sender, answer) = oneshot::channel();
        let transaction = make(sender);
        if transaction.bytes() > MAX_BYTES {
            return Err(Error::Internal(format!("more than {MAX_BYTES} bytes at once")));
        }
        let work = async {
            self.0.submit(transaction).await?;
            answer.await.map_err(|_| closed())?
        };
        let late = |_| Error::Unavailable("the disk does not answer".to_owned());
        tokio::time::timeout(DEADLINE, work).await.map_err(late)?
    }
}

impl Ending {
    pub async fn close(mut self) {
        self.queue.end(End::Closed);
        if tokio::time::timeout(ENDING_DEADLINE, &mut self.ended).await.is_err() {
            tracing::warn!("the disk is slow; the journal is left to the next start");
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.queue.end(End::Abandoned);
    }
}
