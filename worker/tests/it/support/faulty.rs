//! A log that fails as networks and disks do.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use ports::doubles::LogDouble;
use ports::{Appended, Error, EventLog, Result};
use types::{LogId, Seq};

/// The switches of a [`Faulty`] log.
#[derive(Default)]
pub struct Faults {
    /// So many of the next appends are stored, but their answer is lost.
    pub lose_answers: AtomicUsize,
    /// Nothing can be appended.
    pub full: AtomicBool,
    /// There is no room but for ends.
    pub no_room: AtomicBool,
    /// There is none for ends either.
    pub no_room_at_all: AtomicBool,
    pub refused: AtomicUsize,
    /// What is appended is not answered while this holds.
    pub stuck: AtomicBool,
    /// Appends that were not answered at once.
    pub waiting: AtomicUsize,
    /// Records with this text are not for this log.
    pub forbidden: Mutex<Option<&'static str>>,
    /// So many of the next appends arrive only when the log is asked something again, after their answer was given
    /// up.
    pub late: AtomicUsize,
    held: Mutex<Vec<(LogId, Seq, Vec<Bytes>)>>,
}

pub struct Faulty {
    pub inner: Arc<dyn EventLog>,
    pub faults: Arc<Faults>,
}

impl Faulty {
    async fn let_late_ones_arrive(&self) {
        let held = std::mem::take(&mut *self.faults.held.lock().unwrap());
        for (log, after, records) in held {
            // The first one to arrive wins.
            let _ = self.inner.append(&log, after, records).await;
        }
    }
}

fn take_one(count: &AtomicUsize) -> bool {
    count.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

#[async_trait]
impl LogDouble for Faulty {
    fn inner(&self) -> Result<&dyn EventLog> {
        Ok(self.inner.as_ref())
    }

    async fn append(&self, log: &LogId, after: Seq, records: Vec<Bytes>) -> Result<Appended> {
        self.let_late_ones_arrive().await;
        if self.faults.stuck.load(Ordering::SeqCst) {
            self.faults.waiting.fetch_add(1, Ordering::SeqCst);
            while self.faults.stuck.load(Ordering::SeqCst) {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        }
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
        let is_full = self.faults.no_room_at_all.load(Ordering::SeqCst);
        if is_full || self.faults.no_room.load(Ordering::SeqCst) && records.iter().any(grows) {
            self.faults.refused.fetch_add(1, Ordering::SeqCst);
            return Err(Error::Full("no room".to_owned()));
        }
        let forbidden = self.faults.forbidden.lock().unwrap().map(str::as_bytes);
        let has = |record: &Bytes, text: &[u8]| record.windows(text.len()).any(|window| window == text);
        if forbidden.is_some_and(|text| records.iter().any(|record| has(record, text))) {
            self.faults.refused.fetch_add(1, Ordering::SeqCst);
            return Err(Error::Internal("error 10077 at /var/lib/store".to_owned()));
        }
        if take_one(&self.faults.late) {
            self.faults.held.lock().unwrap().push((log.clone(), after, records));
            return Err(Error::Unavailable("no answer".to_owned()));
        }
        let appended = self.inner.append(log, after, records).await?;
        match take_one(&self.faults.lose_answers) {
            true => Err(Error::Unavailable("the answer is lost".to_owned())),
            false => Ok(appended),
        }
    }

    async fn tail(&self, log: &LogId) -> Result<Seq> {
        self.let_late_ones_arrive().await;
        self.inner.tail(log).await
    }
}
