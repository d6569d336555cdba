//! Appending to a log what is not in it yet, as the writer before all workers.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;
use std::time::Duration;

use ports::EventLog;
use ports::log::{LogWriter, Loss, Trouble};
use ports::retry::Backoff;
use tokio::time::Instant;
use types::log::{Control, LogRecord};
use types::{Epoch, LogId};

/// Records and bytes of one append.
const MOST_RECORDS: usize = 200;
const MOST_BYTES: usize = 2 << 20;

/// How long a store that is away is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSES: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));

/// No worker has it: the first is 1.
const BEFORE_ALL_WORKERS: Epoch = Epoch(0);

/// Why a log does not take what comes.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    #[error("it was used here already, and stays as it is")]
    Used,
    #[error("something else is stored under its id")]
    Other,
    #[error("it is more than is taken: {0}")]
    Refused(String),
    #[error(transparent)]
    Store(#[from] ports::Error),
}

/// A log that is written from its beginning to its end; what an earlier attempt has stored is compared and passed over.
pub struct Appending {
    /// `None` where a worker has written: then it is only compared.
    writer: Option<LogWriter>,
    /// Of the records that are there and were not come to yet, but for fences.
    there: VecDeque<u64>,
    waiting: Vec<Vec<u8>>,
    size: usize,
}

impl Appending {
    /// # Errors
    /// Those of the store.
    pub async fn open(log: Arc<dyn EventLog>, id: LogId) -> Result<Self, Stop> {
        let mut there = VecDeque::new();
        let visit = |record: &ports::Record| {
            if !is_fence(&record.payload) {
                there.push_back(hash(&record.payload));
            }
        };
        let writer = match LogWriter::open(log, id, BEFORE_ALL_WORKERS, visit).await {
            Ok(writer) => Some(writer),
            Err(Trouble::Lost(Loss::Fenced)) => None,
            Err(trouble) => return Err(stop(trouble)),
        };
        Ok(Self { writer, there, waiting: Vec::new(), size: 0 })
    }

    /// The next record. It is stored with others, at [`Appending::end`] at the latest. Whether it was not there yet.
    ///
    /// # Errors
    /// `Other` where another one is in its place, `Used` where it belongs to a worker; those of the store.
    pub async fn add(&mut self, record: Vec<u8>) -> Result<bool, Stop> {
        match self.there.pop_front() {
            Some(there) if there == hash(&record) => return Ok(false),
            _ if self.writer.is_none() => return Err(Stop::Used),
            Some(_) => return Err(Stop::Other),
            None => {}
        }
        let is_full = self.waiting.len() >= MOST_RECORDS || self.size + record.len() > MOST_BYTES;
        if is_full {
            self.flush().await?;
        }
        self.size += record.len();
        self.waiting.push(record);
        Ok(true)
    }

    /// # Errors
    /// `Other` where more is stored than was to be, and not by a worker; those of the store.
    pub async fn end(mut self) -> Result<(), Stop> {
        self.flush().await?;
        if self.there.is_empty() || self.writer.is_none() { Ok(()) } else { Err(Stop::Other) }
    }

    async fn flush(&mut self) -> Result<(), Stop> {
        let Some(writer) = self.writer.as_mut().filter(|_| !self.waiting.is_empty()) else { return Ok(()) };
        self.size = 0;
        let records = self.waiting.drain(..).map(Into::into).collect();
        let batch = writer.batch(records).map_err(|loss| stop(Trouble::Lost(loss)))?;
        let (give_up, mut pauses) = (Instant::now() + PATIENCE, PAUSES);
        loop {
            match writer.store(&batch).await {
                Ok(_) => return Ok(()),
                Err(Trouble::NotNow(_)) if Instant::now() < give_up => {
                    tokio::time::sleep(pauses.pause()).await
                }
                Err(trouble) => return Err(stop(trouble)),
            }
        }
    }
}

fn stop(trouble: Trouble) -> Stop {
    match trouble {
        Trouble::NotNow(error) => Stop::Store(error),
        Trouble::Lost(Loss::Fenced) => Stop::Used,
        Trouble::Lost(Loss::Changed) => Stop::Other,
        Trouble::Lost(Loss::Refused(ports::Error::TooLarge(why))) => Stop::Refused(why),
        Trouble::Lost(Loss::Refused(error)) => Stop::Store(error),
    }
}

fn is_fence(record: &[u8]) -> bool {
    LogRecord::is_control(record)
        && matches!(LogRecord::decode(record), Ok(LogRecord::Control(Control::Fence { .. })))
}

fn hash(record: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(record);
    hasher.finish()
}
