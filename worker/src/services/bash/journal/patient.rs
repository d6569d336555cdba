//! A log's writer that waits until the log can be written, and that finds out what an earlier worker left undone when it
//! reads the log first.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ports::log::{LogWriter, Loss, Pages, Trouble};
use ports::retry::Backoff;
use ports::{Appended, Error, EventLog, Record};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use types::{Epoch, LogId, Seq};

use super::refusal::{Refusal, Result};

const AGAIN: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));

pub(super) struct PatientWriter {
    log: Arc<dyn EventLog>,
    id: LogId,
    epoch: Epoch,
    /// `None` until the log has been read.
    writer: Option<LogWriter>,
    /// Others have written what nobody has looked at.
    is_overtaken: bool,
    /// From then on nothing is tried again.
    shutdown: CancellationToken,
}

/// A change of the log.
pub(super) enum Write {
    Records(Vec<Bytes>),
    /// Keeps what is at this position and after it, or nothing.
    DropFront(Option<Seq>),
}

/// What a log that is read from its beginning tells.
#[derive(Default)]
pub(super) struct Found {
    /// Of the last event.
    pub(super) last_stamp: String,
    /// Commands without an end, and the order of their next output.
    pub(super) without_end: BTreeMap<String, u64>,
}

impl PatientWriter {
    pub(super) fn new(log: Arc<dyn EventLog>, id: LogId, epoch: Epoch, shutdown: CancellationToken) -> Self {
        Self { log, id, epoch, writer: None, is_overtaken: false, shutdown }
    }

    /// Reads the log.
    ///
    /// # Errors
    /// [`Refusal::Superseded`]; `Unavailable` where the process ends; those of a log that can never be read.
    pub(super) async fn open(&mut self) -> Result<Found> {
        let mut backoff = AGAIN;
        loop {
            let mut found = Found::default();
            let (log, id) = (Arc::clone(&self.log), self.id.clone());
            match LogWriter::open(log, id, self.epoch, |entry| found.take(entry)).await {
                Ok(writer) => {
                    (self.writer, self.is_overtaken) = (Some(writer), false);
                    return Ok(found);
                }
                Err(Trouble::NotNow(error)) => self.wait(&mut backoff, error).await?,
                Err(Trouble::Lost(Loss::Refused(error))) => return Err(error.into()),
                Err(Trouble::Lost(Loss::Fenced | Loss::Changed)) => return Err(Refusal::Superseded),
            }
        }
    }

    /// Fences older workers off, so that none of them writes any more, and reads again what they have written until then.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub(super) async fn fence(&mut self, found: Found) -> Result<Found> {
        if self.writer.as_ref().is_some_and(|writer| writer.newest_fence() == Some(self.epoch)) {
            return Ok(found);
        }
        self.write(&Write::Records(Vec::new())).await?;
        self.open().await
    }

    /// Makes a change once, however often it has to be tried.
    ///
    /// # Errors
    /// As [`Self::open`]; those of a log that never takes it; `NotFound` for output of a log that was removed.
    pub(super) async fn write(&mut self, write: &Write) -> Result<Appended> {
        let mut backoff = AGAIN;
        loop {
            let Some(writer) = &mut self.writer else { return Err(unread().into()) };
            if writer.tail() == Seq::ZERO && !write.may_begin_a_log() {
                return Err(Error::NotFound.into());
            }
            let outcome = match try_to_write(writer, write).await {
                // It was removed, or its writer was cut off in the middle of an append.
                Err(Trouble::Lost(Loss::Changed)) => match writer.catch_up().await {
                    Ok(()) => {
                        self.is_overtaken = true;
                        continue;
                    }
                    Err(trouble) => Err(trouble),
                },
                outcome => outcome,
            };
            match outcome {
                Ok(appended) => return Ok(appended),
                Err(Trouble::NotNow(error)) => self.wait(&mut backoff, error).await?,
                Err(Trouble::Lost(Loss::Refused(error))) => return Err(error.into()),
                Err(Trouble::Lost(Loss::Fenced | Loss::Changed)) => return Err(Refusal::Superseded),
            }
        }
    }

    /// Whether others have written since the log was read, as far as a write has found: an older worker's last command may
    /// have been on its way.
    pub(super) fn is_overtaken(&self) -> bool {
        self.is_overtaken
    }

    /// Whether the log ends elsewhere than where this writer knows it to.
    ///
    /// # Errors
    /// Those of the log.
    pub(super) async fn is_behind(&self) -> Result<bool> {
        let Some(writer) = &self.writer else { return Ok(true) };
        Ok(self.log.tail(&self.id).await? != writer.tail())
    }

    /// All of the log, `records` at a time.
    pub(super) fn pages(&self, records: usize) -> Pages<'_> {
        Pages::new(self.log.as_ref(), &self.id, Seq::ZERO, records)
    }

    async fn wait(&self, backoff: &mut Backoff, error: Error) -> Result<()> {
        tracing::warn!(log = %self.id, %error, "the log of commands cannot be written, trying again");
        tokio::select! {
            biased;
            () = self.shutdown.cancelled() => Err(error.into()),
            () = tokio::time::sleep(backoff.pause()) => Ok(()),
        }
    }
}

/// A batch that is made again for another try has the same bytes: the writer has not gone on meanwhile.
async fn try_to_write(writer: &mut LogWriter, write: &Write) -> std::result::Result<Appended, Trouble> {
    match write {
        Write::Records(records) => {
            let batch = writer.batch(records.clone()).map_err(Trouble::Lost)?;
            writer.store(&batch).await
        }
        Write::DropFront(first_kept) => {
            writer.drop_front(*first_kept).await.map(|()| Appended { seqs: Vec::new() })
        }
    }
}

impl Write {
    /// A log that was removed is made anew by a new command alone, not by the last words of an old one.
    fn may_begin_a_log(&self) -> bool {
        let Self::Records(records) = self else { return false };
        let head = records.first().and_then(|first| serde_json::from_slice::<Head>(first).ok());
        head.is_some_and(|head| head.command_id.is_none())
    }
}

impl Found {
    fn take(&mut self, entry: &Record) {
        // The texts, which are long, are passed over.
        let Ok(head) = serde_json::from_slice::<Head>(&entry.payload) else { return };
        self.last_stamp = head.timestamp.into_owned();
        match head.command_id {
            None => {
                self.without_end.insert(head.id.into_owned(), 0);
            }
            Some(command) if head.exit_code.is_some() => {
                self.without_end.remove(command.as_ref());
            }
            Some(command) => {
                self.without_end.insert(command.into_owned(), head.order + 1);
            }
        }
    }
}

/// What stands before the texts of a bash event; outputs name their command.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    timestamp: Cow<'a, str>,
    #[serde(borrow, default)]
    command_id: Option<Cow<'a, str>>,
    #[serde(default)]
    order: u64,
    #[serde(default)]
    exit_code: Option<i32>,
}

fn unread() -> Error {
    Error::Internal("a log is written before it was read".to_owned())
}
