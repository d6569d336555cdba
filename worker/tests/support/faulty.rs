//! A log that fails as networks and disks do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use ports::{Appended, Entry, Error, EventLog, LogId, Result};
use types::Seq;

/// The switches of a [`Faulty`] log.
#[derive(Default)]
pub struct Faults {
    /// So many of the next appends are stored, but their answer is lost.
    pub lose_answers: AtomicUsize,
    /// Nothing can be appended.
    pub full: AtomicBool,
    /// There is no room but for ends.
    pub no_room: AtomicBool,
    pub refused: AtomicUsize,
}

pub struct Faulty {
    pub inner: Arc<dyn EventLog>,
    pub faults: Arc<Faults>,
}

#[async_trait]
impl EventLog for Faulty {
    async fn append(&self, log: &LogId, after: Seq, records: Vec<Bytes>) -> Result<Appended> {
        if self.faults.full.load(Ordering::SeqCst) {
            self.faults.refused.fetch_add(1, Ordering::SeqCst);
            return Err(Error::Unavailable("no space left".to_owned()));
        }
        let grows = |record: &Bytes| {
            let text = String::from_utf8_lossy(record);
            ["MessageEvent", "ActionEvent", "ObservationEvent"]
                .iter()
                .any(|kind| text.contains(&format!("\"{kind}\"")))
        };
        if self.faults.no_room.load(Ordering::SeqCst) && records.iter().any(grows) {
            self.faults.refused.fetch_add(1, Ordering::SeqCst);
            return Err(Error::Full("no room".to_owned()));
        }
        let appended = self.inner.append(log, after, records).await?;
        let lose = |left: usize| left.checked_sub(1);
        match self.faults.lose_answers.fetch_update(Ordering::SeqCst, Ordering::SeqCst, lose) {
            Ok(_) => Err(Error::Unavailable("the answer is lost".to_owned())),
            Err(_) => Ok(appended),
        }
    }

    async fn read(&self, log: &LogId, after: Seq, limit: usize) -> Result<Vec<Entry>> {
        self.inner.read(log, after, limit).await
    }

    async fn tail(&self, log: &LogId) -> Result<Seq> {
        self.inner.tail(log).await
    }

    async fn delete(&self, log: &LogId) -> Result<()> {
        self.inner.delete(log).await
    }

    async fn truncate_before(&self, log: &LogId, first_kept: Seq) -> Result<()> {
        self.inner.truncate_before(log, first_kept).await
    }
}
