//! A log that counts what is read of it, and takes snapshots when the test says so.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use ports::doubles::LogDouble;
use ports::{Appended, Error, EventLog, Ports, Record, Result};
use tokio::sync::RwLock;
use types::{LogId, Seq};

#[derive(Default)]
pub struct Counts {
    records: AtomicUsize,
    pages: AtomicUsize,
    /// Snapshots can be neither stored nor read.
    pub without_snapshots: AtomicBool,
    /// Snapshots are not stored while it is locked.
    pub gate: RwLock<()>,
    /// Snapshots that were to be stored.
    pub snapshots: AtomicUsize,
}

impl Counts {
    /// How many records were read since the last time it was asked.
    pub fn records(&self) -> usize {
        self.records.swap(0, Ordering::SeqCst)
    }

    /// How many pages were.
    pub fn pages(&self) -> usize {
        self.pages.swap(0, Ordering::SeqCst)
    }

    pub fn count(self: &Arc<Self>, ports: &mut Ports) {
        ports.log = Arc::new(Counted { inner: Arc::clone(&ports.log), counts: Arc::clone(self) });
    }

    fn check(&self, log: &LogId) -> Result<()> {
        match log {
            LogId::Snapshots { .. } if self.without_snapshots.load(Ordering::SeqCst) => {
                Err(Error::Unavailable("no snapshots today".to_owned()))
            }
            _ => Ok(()),
        }
    }
}

struct Counted {
    inner: Arc<dyn EventLog>,
    counts: Arc<Counts>,
}

#[async_trait]
impl LogDouble for Counted {
    fn inner(&self) -> Result<&dyn EventLog> {
        Ok(self.inner.as_ref())
    }

    async fn append(&self, log: &LogId, after: Seq, records: Vec<Bytes>) -> Result<Appended> {
        if let LogId::Snapshots { .. } = log {
            self.counts.snapshots.fetch_add(1, Ordering::SeqCst);
            drop(self.counts.gate.read().await);
        }
        self.counts.check(log)?;
        self.inner.append(log, after, records).await
    }

    async fn read(&self, log: &LogId, after: Seq, limit: usize) -> Result<Vec<Record>> {
        self.counts.check(log)?;
        let page = self.inner.read(log, after, limit).await?;
        self.counts.pages.fetch_add(1, Ordering::SeqCst);
        self.counts.records.fetch_add(page.len(), Ordering::SeqCst);
        Ok(page)
    }
}
