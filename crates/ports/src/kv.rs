//! Values that are changed by compare-and-set, and followed.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::TryStreamExt;
use futures_util::stream::BoxStream;

use crate::{Result, feed};

/// A value and the revision that a conditional write names. Revisions of one key only grow, also over a
/// deletion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KvEntry {
    pub revision: u64,
    pub value: Bytes,
}

/// What must hold for a write to take place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    Anything,
    Absent,
    Revision(u64),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Put {
        key: String,
        entry: KvEntry,
    },
    Deleted {
        key: String,
    },
    /// Changes were missed: list again.
    Lagged,
}

impl feed::Item for Change {
    fn bytes(&self) -> usize {
        match self {
            Self::Put { key, entry } => key.len() + entry.value.len(),
            Self::Deleted { key } => key.len(),
            Self::Lagged => 0,
        }
    }

    fn lagged() -> Self {
        Self::Lagged
    }
}

pub type Changes = BoxStream<'static, Change>;

pub type Scan<'a> = BoxStream<'a, Result<Change>>;

/// Small named values in buckets, with compare-and-set. Bucket names: upper-case ASCII and `_`. Keys: ASCII
/// letters, digits, `_`, `-`, and `.` between them; 1 to 200 bytes. An acknowledged write survives a crash.
#[async_trait]
pub trait Kv: Send + Sync {
    /// # Errors
    /// `Unavailable`, `Internal`; a missing key is `None`.
    async fn get(&self, bucket: &str, key: &str) -> Result<Option<KvEntry>>;

    /// Answers the new revision.
    ///
    /// # Errors
    /// `TooLarge` for a value beyond [`crate::LARGEST`]; `Conflict` when `expect` does not hold: nothing was written.
    async fn put(&self, bucket: &str, key: &str, value: Bytes, expect: Expect) -> Result<u64>;

    /// Stores what can be done without, under a key of its own: it leaves the room that other writes and deletions need. It may be
    /// done twice.
    ///
    /// # Errors
    /// `Full` where a store that knows how much room it has has too little. Those of [`Kv::put`].
    async fn put_if_room(&self, bucket: &str, key: &str, value: Bytes) -> Result<()> {
        self.put(bucket, key, value, Expect::Anything).await.map(drop)
    }

    /// Removing an absent key is no error (under `Anything` or `Absent`).
    ///
    /// # Errors
    /// `Conflict` when `expect` does not hold: nothing was removed.
    async fn delete(&self, bucket: &str, key: &str, expect: Expect) -> Result<()>;

    /// What a bucket holds, read as it is taken and a few MiB ahead at most. Every key that stays comes at least
    /// once, in no order; of what comes of one key the last counts. Ends however often keys change meanwhile, or
    /// after the first error (`Unavailable`, `Internal`), and is never `Lagged`.
    fn scan<'a>(&'a self, bucket: &'a str) -> Scan<'a>;

    /// All keys of a bucket with their values, in key order and in memory: for buckets that are small.
    ///
    /// # Errors
    /// `Unavailable`, `Internal`.
    async fn list(&self, bucket: &str) -> Result<Vec<(String, KvEntry)>> {
        let mut entries = BTreeMap::new();
        let mut scan = self.scan(bucket);
        while let Some(change) = scan.try_next().await? {
            match change {
                Change::Put { key, entry } => drop(entries.insert(key, entry)),
                Change::Deleted { key } => drop(entries.remove(&key)),
                Change::Lagged => {}
            }
        }
        Ok(entries.into_iter().collect())
    }

    /// Changes from now on: what is written after this returns is seen.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn watch(&self, bucket: &str) -> Result<Changes>;
}
