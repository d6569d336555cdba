//! One log, as its only writer sees it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ports::{Appended, Entry, Error, EventLog, LogId, Result};
use tokio::time::{sleep, timeout};
use types::Seq;
use types::bash::BashEvent;
use types::time::{utc_after, utc_now};

use super::Kept;
use super::record::encode;

const PATIENCE: Duration = Duration::from_secs(30);
const TRIES: u32 = 5;

/// Records and bytes in one append.
const MOST_RECORDS: usize = 200;
const MOST_BYTES: usize = 4 * 1024 * 1024;

pub(super) struct Store {
    log: Arc<dyn EventLog>,
    id: LogId,
    /// `None` until it is known.
    tail: Option<Seq>,
    last_stamp: String,
}

impl Store {
    pub(super) fn new(log: Arc<dyn EventLog>, id: LogId) -> Self {
        Self { log, id, tail: None, last_stamp: String::new() }
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
            count += page.len() as u64;
            at = last;
        }
        self.delete().await?;
        Ok(count)
    }

    /// Removes events that are older than `time`, and says how many they were.
    pub(super) async fn forget_before(&mut self, time: &str) -> Result<u64> {
        let is_old = |entry: &Entry| {
            serde_json::from_slice::<BashEvent>(&entry.payload).is_ok_and(|event| event.timestamp() < time)
        };
        if !self.log.read(&self.id, Seq::ZERO, 1).await?.first().is_some_and(is_old) {
            return Ok(0);
        }
        let mut forgotten = 0;
        let (mut kept, mut at) = (Vec::new(), Seq::ZERO);
        while let Some((page, last)) = self.page(at).await? {
            at = last;
            for entry in page {
                if kept.is_empty() && is_old(&entry) {
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
        self.tail = None;
        self.log.delete(&self.id).await
    }

    fn next_stamp(&mut self) -> String {
        let now = utc_now();
        let stamp = if now > self.last_stamp { now } else { utc_after(&self.last_stamp) };
        self.last_stamp.clone_from(&stamp);
        stamp
    }

    /// Stores the records once, also over failures that leave open whether they were stored.
    async fn append_records(&mut self, records: Vec<Bytes>) -> Result<Appended> {
        let mut outcome = Err(Error::Unavailable("not tried".into()));
        for attempt in 0..TRIES {
            let tail = match self.tail {
                Some(tail) => tail,
                None => self.log.tail(&self.id).await?,
            };
            let appended = timeout(PATIENCE, self.log.append(&self.id, tail, records.clone())).await;
            outcome = appended.unwrap_or_else(|_| Err(Error::Unavailable("the log does not answer".into())));
            self.tail = None;
            match &outcome {
                Ok(appended) => {
                    self.tail = Some(appended.tail());
                    break;
                }
                Err(Error::Conflict { tail }) => self.tail = *tail,
                Err(Error::Unavailable(_)) => {
                    sleep(Duration::from_millis(50 << attempt)).await;
                    if let Some(appended) = self.found_after(tail, &records).await {
                        self.tail = Some(appended.tail());
                        return Ok(appended);
                    }
                }
                Err(Error::NotFound | Error::Full(_) | Error::Internal(_)) => break,
            }
        }
        outcome
    }

    async fn found_after(&self, tail: Seq, records: &[Bytes]) -> Option<Appended> {
        let entries = self.log.read(&self.id, tail, records.len()).await.ok()?;
        let same = entries.len() == records.len()
            && entries.iter().zip(records).all(|(entry, record)| entry.payload == *record);
        same.then(|| Appended { seqs: entries.iter().map(|entry| entry.seq).collect() })
    }
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
