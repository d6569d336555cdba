//! Bash events as records of one log, stamped in its order.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ports::log::{Batch, LogWriter, Loss, Trouble};
use ports::retry::Backoff;
use ports::{Appended, Entry, Error, EventLog, LogId, Result};
use tokio_util::sync::CancellationToken;
use types::bash::BashEvent;
use types::time::{utc_after, utc_now};
use types::{Epoch, Seq};

use super::Kept;
use super::record::encode;

const AGAIN: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));

/// Records and bytes in one append.
const MOST_RECORDS: usize = 200;
const MOST_BYTES: usize = 4 * 1024 * 1024;

pub(super) struct Store {
    log: Arc<dyn EventLog>,
    id: LogId,
    epoch: Epoch,
    /// `None` until the log has been read.
    writer: Option<LogWriter>,
    last_stamp: String,
    /// From then on nothing is tried again.
    shutdown: CancellationToken,
}

impl Store {
    pub(super) fn new(log: Arc<dyn EventLog>, id: LogId, epoch: Epoch, shutdown: CancellationToken) -> Self {
        Self { log, id, epoch, writer: None, last_stamp: String::new(), shutdown }
    }

    /// Stamps and stores events, in as few appends as may be; one outcome each.
    pub(super) async fn append(&mut self, events: Vec<BashEvent>) -> Vec<Result<Kept>> {
        let count = events.len();
        let (mut stamps, mut records) = (Vec::with_capacity(count), Vec::with_capacity(count));
        for mut event in events {
            let stamp = self.next_stamp();
            match &mut event {
                BashEvent::BashCommand(command) => command.timestamp.clone_from(&stamp),
                BashEvent::BashOutput(output) => output.timestamp.clone_from(&stamp),
            }
            match encode(&event) {
                Ok(record) => records.push(record),
                Err(error) => {
                    let error = Error::Internal(error.to_string());
                    return (0..count).map(|_| Err(error.clone())).collect();
                }
            }
            stamps.push(stamp);
        }
        let mut stamps = stamps.into_iter();
        let mut outcomes = Vec::with_capacity(count);
        for batch in batches(records) {
            let size = batch.len();
            match self.append_records(batch).await {
                Ok(stored) => {
                    let kept = |(seq, timestamp)| Ok(Kept { timestamp, seq });
                    outcomes.extend(stored.seqs.into_iter().zip(stamps.by_ref()).map(kept));
                }
                Err(error) => outcomes.extend(stamps.by_ref().take(size).map(|_| Err(error.clone()))),
            }
        }
        outcomes
    }

    /// Removes all events and says how many they were.
    pub(super) async fn clear(&mut self) -> Result<u64> {
        let (mut count, mut at) = (0, Seq::ZERO);
        while let Some((page, last)) = self.page(at).await? {
            count += page.iter().filter(|entry| event_of(entry).is_some()).count() as u64;
            at = last;
        }
        self.delete().await?;
        Ok(count)
    }

    /// Removes events that are older than `time`, and says how many they were.
    pub(super) async fn forget_before(&mut self, time: &str) -> Result<u64> {
        let is_old = |event: &BashEvent| event.timestamp() < time;
        let first = self.log.read(&self.id, Seq::ZERO, 2).await?;
        if !first.iter().find_map(event_of).as_ref().is_some_and(is_old) {
            return Ok(0);
        }
        let mut forgotten = 0;
        let (mut kept, mut at) = (Vec::new(), Seq::ZERO);
        while let Some((page, last)) = self.page(at).await? {
            at = last;
            for entry in page {
                let Some(event) = event_of(&entry) else { continue };
                if kept.is_empty() && is_old(&event) {
                    forgotten += 1;
                } else {
                    kept.push(entry.payload);
                }
            }
        }
        self.delete().await?;
        for batch in batches(kept) {
            self.append_records(batch).await?;
        }
        Ok(forgotten)
    }

    async fn page(&self, after: Seq) -> Result<Option<(Vec<Entry>, Seq)>> {
        let page = self.log.read(&self.id, after, 1_000).await?;
        Ok(page.last().map(|last| last.seq).map(|last| (page, last)))
    }

    async fn delete(&mut self) -> Result<()> {
        self.writer = None;
        self.log.delete(&self.id).await
    }

    fn next_stamp(&mut self) -> String {
        let now = utc_now();
        let stamp = if now > self.last_stamp { now } else { utc_after(&self.last_stamp) };
        self.last_stamp.clone_from(&stamp);
        stamp
    }

    /// Stores the records once, however often that takes.
    async fn append_records(&mut self, records: Vec<Bytes>) -> Result<Appended> {
        let (mut backoff, mut batch) = (AGAIN, None);
        loop {
            let error = match self.try_to_append(&records, &mut batch).await {
                Ok(appended) => return Ok(appended),
                Err(Trouble::Lost(Loss::Refused(error))) => return Err(error),
                Err(Trouble::Lost(Loss::Fenced)) => return Err(replaced()),
                Err(Trouble::Lost(Loss::Changed)) => {
                    self.catch_up_with_the_log(&mut batch).await?;
                    continue;
                }
                Err(Trouble::NotNow(error)) => error,
            };
            self.wait(&mut backoff, error).await?;
        }
    }

    async fn try_to_append(
        &mut self,
        records: &[Bytes],
        batch: &mut Option<Batch>,
    ) -> std::result::Result<Appended, Trouble> {
        let writer = match &mut self.writer {
            Some(writer) => writer,
            None => {
                let (log, id) = (Arc::clone(&self.log), self.id.clone());
                self.writer.insert(LogWriter::open(log, id, self.epoch, |_| {}).await?)
            }
        };
        let batch = match batch {
            Some(batch) => batch,
            None => batch.insert(writer.batch(records.to_vec()).map_err(Trouble::Lost)?),
        };
        writer.store(batch).await
    }

    /// The log was removed, or another writer of this incarnation was cut off in the middle of an append.
    async fn catch_up_with_the_log(&mut self, batch: &mut Option<Batch>) -> Result<()> {
        let mut backoff = AGAIN;
        *batch = None;
        while let Some(writer) = &mut self.writer {
            match writer.catch_up().await {
                Ok(()) => break,
                Err(Trouble::NotNow(error)) => self.wait(&mut backoff, error).await?,
                Err(Trouble::Lost(_)) => return Err(replaced()),
            }
        }
        Ok(())
    }

    async fn wait(&self, backoff: &mut Backoff, error: Error) -> Result<()> {
        tracing::warn!(log = %self.id, %error, "cannot append to the log, trying again");
        tokio::select! {
            biased;
            () = self.shutdown.cancelled() => Err(error),
            () = tokio::time::sleep(backoff.pause()) => Ok(()),
        }
    }
}

fn replaced() -> Error {
    Error::Unavailable("another worker has taken this sandbox over".to_owned())
}

/// `None` for what the writer notes for itself.
fn event_of(entry: &Entry) -> Option<BashEvent> {
    serde_json::from_slice(&entry.payload).ok()
}

fn batches(records: Vec<Bytes>) -> Vec<Vec<Bytes>> {
    let (mut all, mut batch, mut size) = (Vec::new(), Vec::new(), 0);
    for record in records {
        if batch.len() == MOST_RECORDS || size + record.len() > MOST_BYTES && !batch.is_empty() {
            all.push(std::mem::take(&mut batch));
            size = 0;
        }
        size += record.len();
        batch.push(record);
    }
    all.push(batch);
    all.retain(|batch| !batch.is_empty());
    all
}
