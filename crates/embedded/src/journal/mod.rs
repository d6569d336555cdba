//! What makes every change durable: requests are checked in order, written to one file as a batch, synced
//! once, and only then done to the real files. What a crash cut short, the next start does again.

mod commit;
mod frame;
mod queue;
mod replay;
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
        let committer = Committer::new(folder, old, disk, fsync, queue.clone());
        thread::Builder::new().name("journal".to_owned()).spawn(move || {
            committer.run();
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
