//! The segments that are not written to any more, and how they go.
//!
//! A checkpoint is a thread that syncs the file systems and then removes the segments that were there when it began,
//! oldest first, so that what a crash leaves is a whole tail of the history. One runs at a time; segments that end
//! meanwhile wait for the next one.
//!
//! - *The sync fails*: the system may have dropped what it could not write, although it still shows it. All is in doubt,
//!   and what the journal says is written to the files again before anything of it may go.
//! - *A removal fails*: everything is on the disk. The segments that are still there are removed next time.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::replay::{self, Occasion};
use super::segment;
use crate::disk::Disk;

pub struct Checkpoints {
    folder: PathBuf,
    disk: Arc<Disk>,
    /// Oldest first.
    old: Vec<Ended>,
    running: Option<JoinHandle<io::Result<Removal>>>,
    begun: Option<Instant>,
    is_doubtful: bool,
}

/// A segment that has ended.
struct Ended {
    number: u64,
    bytes: u64,
}

/// Which segments have gone, and why others have not.
struct Removal {
    gone: Vec<u64>,
    failure: Option<io::Error>,
}

impl Checkpoints {
    /// `old` are the numbers of segments that an earlier process has left.
    pub fn new(folder: PathBuf, old: &[u64], disk: Arc<Disk>) -> Self {
        let length = |number| segment::path(&folder, number).metadata().map_or(0, |file| file.len());
        let old = old.iter().map(|number| Ended { number: *number, bytes: length(*number) }).collect();
        Self { folder, disk, old, running: None, begun: None, is_doubtful: false }
    }

    pub fn add(&mut self, number: u64, bytes: u64) {
        self.old.push(Ended { number, bytes });
    }

    /// What the ended segments take.
    pub fn bytes(&self) -> u64 {
        self.old.iter().map(|ended| ended.bytes).sum()
    }

    /// Begins a checkpoint unless one runs. To be called when no segment is being written: the ended ones are then all there
    /// are.
    pub fn begin(&mut self) {
        self.collect_if_done();
        if self.running.is_some() || self.old.is_empty() || !self.is_certain() {
            return;
        }
        self.begun = Some(Instant::now());
        let work = self.work();
        match thread::Builder::new().name("checkpoint".to_owned()).spawn(work) {
            Ok(running) => self.running = Some(running),
            Err(error) => tracing::warn!(%error, "no thread for a checkpoint; the journal grows meanwhile"),
        }
    }

    /// Whether none was begun for `patience`.
    pub fn is_due(&self, patience: Duration) -> bool {
        self.begun.is_none_or(|begun| begun.elapsed() >= patience)
    }

    pub fn collect_if_done(&mut self) {
        if self.running.as_ref().is_some_and(JoinHandle::is_finished) {
            self.collect();
        }
    }

    /// Waits for the checkpoint that runs, and forgets the segments that have gone.
    pub fn collect(&mut self) {
        match self.running.take().map(JoinHandle::join) {
            None => {}
            Some(Ok(outcome)) => self.note(outcome),
            Some(Err(_)) => self.note(Err(io::Error::other("the checkpoint has panicked"))),
        }
    }

    /// Lets everything go before it returns.
    pub fn close(mut self) {
        self.collect();
        if !self.old.is_empty() && self.is_certain() {
            let outcome = self.work()();
            self.note(outcome);
        }
    }

    fn work(&self) -> impl FnOnce() -> io::Result<Removal> + Send + 'static {
        let (folder, disk) = (self.folder.clone(), self.disk.clone());
        let numbers = self.numbers();
        move || {
            disk.sync()?;
            let (gone, failure) = segment::remove(&folder, &numbers);
            Ok(Removal { gone, failure: failure.err() })
        }
    }

    fn note(&mut self, outcome: io::Result<Removal>) {
        let Removal { gone, failure } = match outcome {
            Ok(removal) => removal,
            Err(error) => {
                self.is_doubtful = true;
                tracing::error!(%error, "the files of the store cannot be synced; the journal is kept");
                return;
            }
        };
        self.old.retain(|ended| !gone.contains(&ended.number));
        if let Some(error) = failure {
            tracing::warn!(%error, "a segment of the journal that is not needed any more stays for now");
        }
    }

    /// Writes everything that the ended segments say to the files again if it is in doubt whether it is on the disk.
    fn is_certain(&mut self) -> bool {
        if !self.is_doubtful {
            return true;
        }
        self.begun = Some(Instant::now());
        match replay::do_again(&self.folder, &self.numbers(), &self.disk, Occasion::FailedSync) {
            Ok(_) => self.is_doubtful = false,
            Err(error) => tracing::error!(%error, "the journal cannot be applied again; it is kept"),
        }
        !self.is_doubtful
    }

    fn numbers(&self) -> Vec<u64> {
        self.old.iter().map(|ended| ended.number).collect()
    }
}
