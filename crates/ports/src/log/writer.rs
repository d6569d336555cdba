//! The one writer of a log: stores each batch exactly once, however often its answer is lost, and nothing once a
//! newer incarnation has written.
//!
//! **What it knows.** Where the log ends (`tail`), as of the last batch that is known to be stored. Every try to store
//! a batch names that same position, so of all tries, those that are late included, the store can take one alone.
//! The position is only moved by a batch that was found to be stored, or by [`LogWriter::catch_up`], which reads every
//! record it moves past. It belongs to one log: a log that was removed and made anew may end anywhere, so `catch_up` only
//! goes on from the tail where the record that it knows is still there, and else begins anew.
//!
//! **When a try fails**, for whatever reason, the records behind the tail tell what is true:
//!
//! ```text
//!   append at tail ──ok──▶ stored
//!        │ any error
//!        ▼
//!   read behind tail ── the batch itself ─────────▶ stored (an earlier try was, and its answer was lost)
//!        │             ── a newer fence ──────────▶ Lost(Fenced): this incarnation writes no more
//!        │             ── somebody else's records ─▶ Lost(Changed): read the log again, then begin anew
//!        │ nothing
//!        ▼
//!   Unavailable, or a conflict that cannot be seen yet ─▶ NotNow: try the same batch again, later
//!   the log is shorter than the tail ───────────────────▶ Lost(Changed)
//!   anything else ──────────────────────────────────────▶ Lost(Refused): trying again would not help
//! ```
//!
//! What is read there may fail, too, and is judged in the same way: `Unavailable` is `NotNow`, and a log that is damaged
//! or refuses to be read is `Lost(Refused)`.
//!
//! **Fencing.** The first batch of an incarnation carries the control record `fence` with its epoch. An older
//! incarnation names a position before it and is refused by the store; when it looks why, it finds the fence. The fence
//! goes with the first batch, so that opening a log writes nothing.
//!
//! **How it ends.** It may be dropped at any time: a batch under way is stored or not, as a whole. After `Lost` nothing
//! is written any more, unless `catch_up` finds that only records of this or an older incarnation were added.

use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use types::log::{Control, LogRecord};
use types::{Epoch, LogId, Seq};

use super::Pages;
use crate::mutants::{self, Mutant};
use crate::{Appended, Error, EventLog, Record, Result};

/// After this an append counts as unanswered.
const APPEND_DEADLINE: Duration = Duration::from_secs(30);
/// Records of one read.
const PAGE: usize = 1_000;

pub struct LogWriter {
    log: Arc<dyn EventLog>,
    id: LogId,
    epoch: Epoch,
    tail: Seq,
    /// Of the record at the tail, where this writer has seen it.
    last: Option<Hash>,
    newest_fence: Option<Epoch>,
}

/// Of a record's bytes, to know it again.
type Hash = u64;

/// Records that are stored together, and before any others.
#[derive(Clone, Debug)]
pub struct Batch {
    records: Vec<Bytes>,
    has_fence: bool,
}

/// Why a batch is not stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The log cannot be written or read now: the same batch may be tried again.
    NotNow(Error),
    Lost(Loss),
}

/// Why a batch never will be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loss {
    /// A newer incarnation writes this log.
    Fenced,
    /// Somebody else wrote or removed the log: what this writer knows is out of date.
    Changed,
    /// The log does not take these records, now or later.
    Refused(Error),
}

impl From<Error> for Trouble {
    /// The same for reads, appends and truncations: what will not go away is not tried again.
    fn from(error: Error) -> Self {
        match error {
            Error::Unavailable(_) | Error::Conflict { .. } => Self::NotNow(error),
            Error::NotFound | Error::TooLarge(_) | Error::Full(_) | Error::Internal(_) => {
                Self::Lost(Loss::Refused(error))
            }
        }
    }
}

impl LogWriter {
    /// A writer after `tail`, of a log whose newest fence is `newest_fence`.
    ///
    /// # Errors
    /// [`Loss::Fenced`].
    pub fn new(
        log: Arc<dyn EventLog>,
        id: LogId,
        epoch: Epoch,
        tail: Seq,
        newest_fence: Option<Epoch>,
    ) -> std::result::Result<Self, Loss> {
        let writer = Self { log, id, epoch, tail, last: None, newest_fence };
        if writer.is_fenced() { Err(Loss::Fenced) } else { Ok(writer) }
    }

    /// A writer of a log that is read from its beginning; `visit` is shown every record.
    ///
    /// # Errors
    /// As [`LogWriter::catch_up`].
    pub async fn open(
        log: Arc<dyn EventLog>,
        id: LogId,
        epoch: Epoch,
        visit: impl FnMut(&Record),
    ) -> std::result::Result<Self, Trouble> {
        let mut writer = Self { log, id, epoch, tail: Seq::ZERO, last: None, newest_fence: None };
        writer.read_on(visit).await?;
        Ok(writer)
    }

    #[must_use]
    pub const fn tail(&self) -> Seq {
        self.tail
    }

    #[must_use]
    pub const fn newest_fence(&self) -> Option<Epoch> {
        self.newest_fence
    }

    #[must_use]
    pub const fn id(&self) -> &LogId {
        &self.id
    }

    /// Makes a batch. It must be stored, or lost, before the next is made.
    ///
    /// # Errors
    /// [`Loss::Refused`] where the fence cannot be written.
    pub fn batch(&self, records: Vec<Bytes>) -> std::result::Result<Batch, Loss> {
        if self.newest_fence == Some(self.epoch) {
            return Ok(Batch { records, has_fence: false });
        }
        let records = std::iter::once(self.fence()?).chain(records).collect();
        Ok(Batch { records, has_fence: true })
    }

    /// Appends `batch`, exactly once however often it is tried; answers where its own records are.
    ///
    /// # Errors
    /// [`Trouble`] says whether it may be tried again.
    ///
    /// # Cancel safety
    /// After a drop the batch may or may not be stored; storing it again tells.
    pub async fn store(&mut self, batch: &Batch) -> std::result::Result<Appended, Trouble> {
        if is_unfenced() {
            self.tail = self.log.tail(&self.id).await?;
        }
        let append = self.log.append(&self.id, self.tail, batch.records.clone());
        let answer = tokio::time::timeout(APPEND_DEADLINE, append).await;
        match answer.unwrap_or_else(|_| Err(Error::Unavailable("no answer from the log".to_owned()))) {
            Ok(appended) => Ok(self.settle(batch, appended.seqs)),
            Err(error) => self.resolve(batch, error).await,
        }
    }

    /// Reads what others have added since, or the whole of a log that was made anew.
    ///
    /// # Errors
    /// As [`LogWriter::store`]; `Lost(Fenced)` by a newer incarnation.
    pub async fn catch_up(&mut self) -> std::result::Result<(), Trouble> {
        if !self.is_same_log().await? {
            (self.tail, self.last, self.newest_fence) = (Seq::ZERO, None, None);
        }
        self.read_on(|_| {}).await
    }

    /// Drops what is before `first_kept`, or everything, as one change. The fence is written again before, so that it is
    /// not among what is dropped; once, however often this is tried.
    ///
    /// # Errors
    /// As [`LogWriter::store`]; it may be tried again.
    pub async fn drop_front(&mut self, first_kept: Option<Seq>) -> std::result::Result<(), Trouble> {
        let fence = self.fence().map_err(Trouble::Lost)?;
        let is_last = self.last == Some(hash(&fence)) && self.log.tail(&self.id).await? == self.tail;
        if mutants::is(Mutant::DropsFirst) {
            self.log.truncate_before(&self.id, first_kept.unwrap_or(self.tail)).await?;
        }
        if !is_last {
            self.store(&Batch { records: vec![fence], has_fence: true }).await?;
        }
        let first_kept = first_kept.unwrap_or(self.tail);
        Ok(self.log.truncate_before(&self.id, first_kept).await?)
    }

    fn fence(&self) -> std::result::Result<Bytes, Loss> {
        let fence = LogRecord::Control(Control::Fence { epoch: self.epoch }).encode();
        fence.map(Bytes::from).map_err(|error| Loss::Refused(Error::Internal(error.to_string())))
    }

    fn settle(&mut self, batch: &Batch, mut seqs: Vec<Seq>) -> Appended {
        if let (Some(seq), Some(record)) = (seqs.last(), batch.records.last()) {
            (self.tail, self.last) = (*seq, Some(hash(record)));
        }
        if batch.has_fence {
            self.newest_fence = Some(self.epoch);
            seqs.drain(..seqs.len().min(1));
        }
        Appended { seqs }
    }

    /// Looks at what follows the tail.
    async fn resolve(&mut self, batch: &Batch, error: Error) -> std::result::Result<Appended, Trouble> {
        if mutants::is(Mutant::AdoptedTail) && matches!(error, Error::Unavailable(_)) {
            self.tail = self.log.tail(&self.id).await?;
            return Err(error.into());
        }
        let found = self.first_after_tail(batch.records.len()).await?;
        let same = found.iter().zip(&batch.records).all(|(entry, record)| entry.payload == *record);
        if same && found.len() == batch.records.len() {
            return Ok(self.settle(batch, found.iter().map(|entry| entry.seq).collect()));
        }
        if !found.is_empty() {
            return Err(Trouble::Lost(self.whose_it_is().await?));
        }
        Err(match error {
            Error::Conflict { tail } => self.unseen(tail).await?,
            error => error.into(),
        })
    }

    /// What a conflict means where no record follows the tail.
    async fn unseen(&self, tail: Option<Seq>) -> Result<Trouble> {
        let tail = match tail {
            Some(tail) => tail,
            None => self.log.tail(&self.id).await?,
        };
        Ok(match tail < self.tail {
            true => Trouble::Lost(Loss::Changed),
            false => Trouble::NotNow(Error::Unavailable("the end of the log cannot be read yet".to_owned())),
        })
    }

    /// Whether the record at the tail is where it was. Positions of a log are never used again, but those of another log under
    /// the same id may be the same, less or more.
    async fn is_same_log(&self) -> Result<bool> {
        let Some(before) = self.tail.0.checked_sub(1) else { return Ok(true) };
        let found = self.log.read(&self.id, Seq(before), 1).await?;
        let same = |record: &Record| {
            record.seq == self.tail && self.last.is_none_or(|last| last == hash(&record.payload))
        };
        Ok(found.first().is_some_and(same))
    }

    async fn first_after_tail(&self, count: usize) -> Result<Vec<Record>> {
        let (mut found, mut at) = (Vec::new(), self.tail);
        while found.len() < count {
            let page = self.log.read(&self.id, at, count - found.len()).await?;
            let Some(last) = page.last() else { break };
            at = last.seq;
            found.extend(page);
        }
        Ok(found)
    }

    async fn whose_it_is(&self) -> Result<Loss> {
        let mut newest = self.newest_fence;
        let mut pages = self.after_tail();
        while let Some(page) = pages.next().await? {
            newest = newest.max(page.iter().filter_map(fence_of).max());
        }
        let is_newer = newest.is_some_and(|newest| newest > self.epoch);
        Ok(if is_newer && !is_unfenced() { Loss::Fenced } else { Loss::Changed })
    }

    async fn read_on(&mut self, mut visit: impl FnMut(&Record)) -> std::result::Result<(), Trouble> {
        let (mut tail, mut last, mut newest) = (self.tail, self.last, self.newest_fence);
        let mut pages = self.after_tail();
        while let Some(page) = pages.next().await? {
            for entry in &page {
                (tail, last) = (entry.seq, Some(hash(&entry.payload)));
                newest = newest.max(fence_of(entry));
                visit(entry);
            }
        }
        (self.tail, self.last, self.newest_fence) = (tail, last, newest);
        if self.is_fenced() { Err(Trouble::Lost(Loss::Fenced)) } else { Ok(()) }
    }

    fn after_tail(&self) -> Pages<'_> {
        Pages::new(self.log.as_ref(), &self.id, self.tail, PAGE)
    }

    fn is_fenced(&self) -> bool {
        self.newest_fence.is_some_and(|newest| newest > self.epoch) && !is_unfenced()
    }
}

/// Whether stale writers write all the same: a build that tests must find fault with.
fn is_unfenced() -> bool {
    cfg!(feature = "unfenced") || mutants::is(Mutant::UnfencedWriter)
}

fn hash(record: &[u8]) -> Hash {
    let mut hasher = DefaultHasher::new();
    hasher.write(record);
    hasher.finish()
}

fn fence_of(entry: &Record) -> Option<Epoch> {
    match LogRecord::is_control(&entry.payload).then(|| LogRecord::decode(&entry.payload))? {
        Ok(LogRecord::Control(Control::Fence { epoch })) => Some(epoch),
        _ => None,
    }
}
