//! Bash events as records of one log: stamped in its order, and forgotten from its front.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use ports::{Error, EventLog, Record};
use tokio_util::sync::CancellationToken;
use types::bash::{BashEvent, BashOutput};
use types::time::{utc_after, utc_now};
use types::{Epoch, LogId, Seq};
use uuid::Uuid;

use super::super::remains;
use super::Kept;
use super::patient::{Found, PatientWriter, Write};
use super::record::encode;
use super::refusal::{Refusal, Result};

/// Records and bytes in one append.
const MOST_RECORDS: usize = 200;
const MOST_BYTES: usize = 4 * 1024 * 1024;
/// Records of one read; each may have a mebibyte.
const PAGE: usize = 64;

/// As of a command that could not be started.
const CUT_OFF_CODE: i32 = -1;
const CUT_OFF: &str = "The server ended before this command did. What was left of it has been killed.";

/// Whether a command is one of this process.
pub(super) type IsRunning = Box<dyn Fn(&str) -> bool + Send + Sync>;

pub(super) struct Store {
    writer: PatientWriter,
    /// The log was read, and nothing that an earlier worker began is without an end.
    is_open: bool,
    last_stamp: String,
    is_running: IsRunning,
}

impl Store {
    pub(super) fn new(
        log: Arc<dyn EventLog>,
        id: LogId,
        epoch: Epoch,
        shutdown: CancellationToken,
        is_running: IsRunning,
    ) -> Self {
        let writer = PatientWriter::new(log, id, epoch, shutdown);
        Self { writer, is_open: false, last_stamp: String::new(), is_running }
    }

    /// Reads the log if it was not, and closes the commands that an earlier worker left without an end. First that one is
    /// fenced off, and what it has written until then is read: it may have told the end itself. Then the processes are
    /// killed, and last the ends are stored: whoever is killed in between has the next one do it all again.
    pub(super) async fn open(&mut self) -> Result<()> {
        if self.is_open {
            return Ok(());
        }
        let mut found = self.writer.open().await?;
        if self.left_by_others(&mut found) {
            found = match self.writer.fence(found).await {
                // The log was removed meanwhile, with all that was in it.
                Err(Refusal::Log(Error::NotFound)) => Found::default(),
                fenced => fenced?,
            };
        }
        let is_something_left = self.left_by_others(&mut found);
        self.last_stamp = found.last_stamp;
        if is_something_left {
            self.close(found.without_end).await?;
        }
        self.is_open = true;
        Ok(())
    }

    /// As [`Self::open`], also where the log was read before: others may have written since.
    pub(super) async fn open_again(&mut self) -> Result<()> {
        self.is_open = self.is_open && !self.writer.is_behind().await?;
        self.open().await
    }

    /// Whether commands that are not this worker's are without an end; the others are left out.
    fn left_by_others(&self, found: &mut Found) -> bool {
        found.without_end.retain(|command, _| !(self.is_running)(command));
        !found.without_end.is_empty()
    }

    async fn close(&mut self, without_end: BTreeMap<String, u64>) -> Result<()> {
        tracing::info!(commands = without_end.len(), "commands of an earlier worker are closed");
        let commands: BTreeSet<String> = without_end.keys().cloned().collect();
        let killing = tokio::task::spawn_blocking(move || remains::kill(&commands));
        killing.await.map_err(|error| Error::Internal(error.to_string()))?;
        let ends = without_end.into_iter().map(|(command, order)| end_of(command, order)).collect();
        self.store(ends).await.into_iter().try_for_each(|stored| stored.map(drop))
    }

    /// Stamps and stores events, in as few appends as may be; one outcome each.
    pub(super) async fn append(&mut self, events: Vec<BashEvent>) -> Vec<Result<Kept>> {
        if let Err(error) = self.open().await {
            return events.iter().map(|_| Err(error.clone())).collect();
        }
        let outcomes = self.store(events).await;
        if self.writer.is_overtaken() {
            self.is_open = false;
            if let Err(error) = self.open().await {
                tracing::warn!(%error, "commands of an earlier worker are not closed for now");
            }
        }
        outcomes
    }

    async fn store(&mut self, events: Vec<BashEvent>) -> Vec<Result<Kept>> {
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
                    let error = Refusal::from(Error::Internal(error.to_string()));
                    return (0..count).map(|_| Err(error.clone())).collect();
                }
            }
            stamps.push(stamp);
        }
        let mut stamps = stamps.into_iter();
        let mut outcomes = Vec::with_capacity(count);
        for batch in batches(records) {
            let size = batch.len();
            match self.writer.write(&Write::Records(batch)).await {
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
        self.open().await?;
        let (count, _) = self.count_until(|_| false).await?;
        if count > 0 {
            self.writer.write(&Write::DropFront(None)).await?;
        }
        Ok(count)
    }

    /// Removes events that are older than `time`, and says how many they were.
    pub(super) async fn forget_before(&mut self, time: &str) -> Result<u64> {
        self.open().await?;
        let (count, first_kept) = self.count_until(|event| event.timestamp() >= time).await?;
        if count > 0 {
            self.writer.write(&Write::DropFront(first_kept)).await?;
        }
        Ok(count)
    }

    /// How many events there are before the first that is `kept`, and where that is.
    async fn count_until(&self, kept: impl Fn(&BashEvent) -> bool) -> Result<(u64, Option<Seq>)> {
        let (mut count, mut pages) = (0, self.writer.pages(PAGE));
        while let Some(page) = pages.next().await? {
            for entry in &page {
                match event_of(entry) {
                    Some(event) if kept(&event) => return Ok((count, Some(entry.seq))),
                    Some(_) => count += 1,
                    None => {}
                }
            }
        }
        Ok((count, None))
    }

    fn next_stamp(&mut self) -> String {
        let now = utc_now();
        let stamp = if now > self.last_stamp { now } else { utc_after(&self.last_stamp) };
        self.last_stamp.clone_from(&stamp);
        stamp
    }
}

fn end_of(command_id: String, order: u64) -> BashEvent {
    BashEvent::BashOutput(BashOutput {
        id: Uuid::new_v4().simple().to_string(),
        timestamp: String::new(),
        command_id,
        order,
        exit_code: Some(CUT_OFF_CODE),
        stdout: None,
        stderr: Some(CUT_OFF.to_owned()),
    })
}

/// `None` for what the writer notes for itself.
fn event_of(entry: &Record) -> Option<BashEvent> {
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
