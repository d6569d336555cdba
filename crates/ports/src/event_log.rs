//! The contract that everything rests on: append-only logs.

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use types::{BashScope, LogId, SandboxId, Seq};

use crate::Result;

/// A stored record and its position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub seq: Seq,
    pub payload: Bytes,
}

/// Where appended records ended up, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    pub seqs: Vec<Seq>,
}

impl Appended {
    /// The new tail; `ZERO` only for an append of nothing.
    #[must_use]
    pub fn tail(&self) -> Seq {
        self.seqs.last().copied().unwrap_or_default()
    }
}

/// How far a log reaches that is to be removed: what is appended after this was looked up is not within it. Only the store
/// that has told it knows what it means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// The last of its records.
    pub last: u64,
    /// The last of what lies beside them.
    pub beside: u64,
}

/// The JSON of a republished record; the record itself is the parcel's blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    pub seq: Seq,
    /// The position before it: where it differs from the last one seen, something was missed. Where it is `seq`, what is
    /// stored up to there is not published, and has to be read.
    pub prev: Seq,
}

/// Append-only logs: the truth about conversations.
///
/// An acknowledged append survives a crash of any process (and, unless the operator relaxed it, of the
/// machine). The records of one append are stored together or not at all, in order, each at a greater
/// position than the one before. After they are stored, each is published on `subjects::stored(log)` as a
/// [`Stored`] with the record as blob, in order; a record that was not stored is never published, and none of a log
/// that [is not followed](LogId::is_published). Of large records, and of many in one append, only that they are there may
/// be published.
#[async_trait]
pub trait EventLog: Send + Sync {
    /// Stores `records` if the log ends at `after` (`ZERO`: if it is empty or absent).
    ///
    /// # Errors
    /// `Conflict` with the real tail. `Unavailable`: perhaps stored; read the tail before trying again. `Full`.
    async fn append(&self, log: &LogId, after: Seq, records: Vec<Bytes>) -> Result<Appended>;

    /// Up to `limit` records after `after`, oldest first; none for an absent log. May return fewer to bound
    /// memory, but at least one if there is one.
    ///
    /// # Errors
    /// `Unavailable`, `Internal`.
    async fn read(&self, log: &LogId, after: Seq, limit: usize) -> Result<Vec<Record>>;

    /// Where the log ends; `ZERO` if absent.
    ///
    /// # Errors
    /// `Unavailable`, `Internal`.
    async fn tail(&self, log: &LogId) -> Result<Seq>;

    /// How far the log reaches now.
    ///
    /// # Errors
    /// `Unavailable`, `Internal`.
    async fn extent(&self, log: &LogId) -> Result<Extent>;

    /// Removes what is within `extent`, which was looked up before; nothing there is no error. Where several processes have the
    /// store, all that was appended since stays: so whoever makes sure *between* the two that it is still the log he means
    /// removes nothing of one that is made anew under its id. In a store of one process the log goes as a whole.
    /// A log made anew may start again.
    ///
    /// # Errors
    /// `Unavailable`: perhaps removed. `Internal`.
    async fn remove(&self, log: &LogId, extent: Extent) -> Result<()>;

    /// Removes the log as it is now.
    ///
    /// # Errors
    /// As [`EventLog::remove`].
    async fn delete(&self, log: &LogId) -> Result<()> {
        self.remove(log, self.extent(log).await?).await
    }

    /// Drops the records before `first_kept`, as one change: a crash leaves all of them or none. What stays keeps
    /// its position, and the tail is as before: the last record stays, whatever is asked for. Records of one append
    /// may stay together, so some before `first_kept` may too. A reader below what stays gets what stays. Doing
    /// it again changes nothing, and an absent log is no error.
    ///
    /// # Errors
    /// `Unavailable`: perhaps dropped. `Internal`.
    async fn truncate_before(&self, log: &LogId, first_kept: Seq) -> Result<()>;

    /// Which bash logs of a sandbox have records, in no order.
    ///
    /// # Errors
    /// `Unavailable`, `Internal`.
    async fn bash_logs(&self, sandbox: &SandboxId) -> Result<Vec<BashScope>>;
}
