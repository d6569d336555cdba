//! What is asked of streams, and how much of what they answer is believed: a replica that lags behind may have said it.
//!
//! Those of a server are in `jetstream`. Simulations have others, on which all the rest of this crate runs as it is.

use async_trait::async_trait;
use bytes::Bytes;
use ports::mutants::{self, Mutant};
use ports::{Change, Changes, Delivery, Error, Record, Result};

pub use async_nats::HeaderMap as Headers;

use crate::message::LogMessage;
pub use crate::stored::Raw;
use crate::{bus, kv};

/// What is asked of the leader one by one where a replica has ended a page.
const MISSED: usize = 16;

/// Why a message is not stored.
#[derive(Debug)]
pub enum Unstored {
    /// The server has said so, or never had it.
    Surely(Error),
    /// Nobody has said anything: perhaps it is.
    Perhaps(Error),
}

/// Where to read: a stream and a subject of it, which may be a pattern.
#[derive(Clone, Copy, Debug)]
pub struct StreamFilter<'a> {
    pub stream: &'a str,
    pub subject: &'a str,
}

/// Which of the messages of a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    Last,
    /// The first at or after a position.
    Next(u64),
}

/// Streams, and what is published of them.
#[async_trait]
pub trait Streams: Send + Sync {
    /// Stores a message and answers its position. `after`: only if the subject's last message is that one; 0,
    /// if there is none.
    async fn try_to_store(
        &self,
        subject: &str,
        after: Option<u64>,
        headers: Headers,
        payload: Bytes,
    ) -> std::result::Result<u64, Unstored>;

    /// A message as the stream's leader knows it: what is written next may rely on it.
    async fn of_leader(&self, filter: StreamFilter<'_>, wanted: Wanted) -> Result<Option<Raw>>;

    /// As any replica knows it, which may lag behind.
    async fn of_any(&self, filter: StreamFilter<'_>, wanted: Wanted) -> Result<Option<Raw>>;

    /// Up to `limit` messages at or after the position `from`, and about `max_bytes` of them, but at least one, as any replica
    /// knows them: there may be none because that one lags behind.
    async fn page_of_any(
        &self,
        filter: StreamFilter<'_>,
        from: u64,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Vec<Raw>>;

    /// Whether it may be another one than the leader that any replica is.
    fn has_replicas(&self) -> bool;

    /// Removes the messages of a subject, `before` a position or all; answers how many this call has removed.
    async fn clear(&self, filter: StreamFilter<'_>, before: Option<u64>) -> Result<u64>;

    /// The subjects that have messages, of those a pattern names.
    async fn subjects(&self, filter: StreamFilter<'_>) -> Result<Vec<String>>;

    /// What is put into a bucket and deleted from it after this returns.
    async fn changes(&self, bucket: &str) -> Result<Changes>;
}

impl dyn Streams + '_ {
    /// As [`Streams::try_to_store`], for who need not know whether it may be stored all the same.
    ///
    /// # Errors
    /// `Conflict` when `after` does not hold; `Unavailable` perhaps stored.
    pub async fn store(
        &self,
        subject: &str,
        after: Option<u64>,
        headers: Headers,
        payload: Bytes,
    ) -> Result<u64> {
        Ok(self.try_to_store(subject, after, headers, payload).await?)
    }

    /// The last message of a subject, as the stream's leader knows it.
    pub async fn last(&self, filter: StreamFilter<'_>) -> Result<Option<Raw>> {
        match mutants::is(Mutant::LastOfAny) {
            true => self.of_any(filter, Wanted::Last).await,
            false => self.of_leader(filter, Wanted::Last).await,
        }
    }

    /// The message of a subject that never changes once it is there.
    pub async fn constant(&self, filter: StreamFilter<'_>) -> Result<Option<Raw>> {
        match self.of_any(filter, Wanted::Last).await? {
            Some(raw) => Ok(Some(raw)),
            None => self.of_leader(filter, Wanted::Last).await,
        }
    }

    /// As [`Streams::page_of_any`]. A replica that lags behind may end a page early, and it may still have what has been
    /// removed: with what a page begins, if with anything, the leader says.
    pub async fn page(
        &self,
        filter: StreamFilter<'_>,
        from: u64,
        limit: usize,
        max_bytes: usize,
    ) -> Result<Vec<Raw>> {
        let page = self.page_of_any(filter, from, limit, max_bytes);
        if mutants::is(Mutant::EmptyPage) {
            return page.await;
        }
        if !self.has_replicas() {
            let page = page.await?;
            return if page.is_empty() {
                self.next(filter, from).await.map(Vec::from_iter)
            } else {
                Ok(page)
            };
        }
        let (mut page, first) = tokio::try_join!(page, self.next(filter, from))?;
        let Some(first) = first else { return Ok(Vec::new()) };
        page.retain(|raw| raw.seq >= first.seq);
        if page.first().is_none_or(|raw| raw.seq != first.seq) {
            page = vec![first];
        }
        self.complete(filter, &mut page, limit, max_bytes).await?;
        Ok(page)
    }

    /// Adds what a replica did not have yet, if that is not much.
    async fn complete(
        &self,
        filter: StreamFilter<'_>,
        page: &mut Vec<Raw>,
        limit: usize,
        max_bytes: usize,
    ) -> Result<()> {
        for _ in 0..MISSED {
            let bytes: usize = page.iter().map(|raw| raw.payload.len()).sum();
            let last = page.last().filter(|_| page.len() < limit && bytes < max_bytes / 2);
            let Some(last) = last else { break };
            let Some(next) = self.next(filter, last.seq + 1).await? else { break };
            page.push(next);
        }
        Ok(())
    }

    /// The first message at or after the position `from`, as the stream's leader knows it.
    pub async fn next(&self, filter: StreamFilter<'_>, from: u64) -> Result<Option<Raw>> {
        self.of_leader(filter, Wanted::Next(from)).await
    }

    /// Removes every message of a subject; answers how many this call has removed.
    pub async fn purge(&self, filter: StreamFilter<'_>) -> Result<u64> {
        self.clear(filter, None).await
    }

    /// Removes the messages of a subject before the position `first`; answers how many this call has removed.
    pub async fn purge_before(&self, filter: StreamFilter<'_>, first: u64) -> Result<u64> {
        self.clear(filter, Some(first)).await
    }
}

impl From<Unstored> for Error {
    fn from(unstored: Unstored) -> Self {
        match unstored {
            Unstored::Surely(error) | Unstored::Perhaps(error) => error,
        }
    }
}

impl Raw {
    /// What is published on `subject` of a message of a log; `prev`: of the one before it.
    #[must_use]
    pub fn deliveries(&self, subject: &str, prev: u64) -> Vec<Delivery> {
        bus::deliver_records(subject, prev, self.message())
    }

    /// Its records, unless they lie aside.
    #[must_use]
    pub fn records(&self) -> Vec<Record> {
        self.message().records(self.payload.clone())
    }

    /// What it says of a key, where it is a message of that bucket.
    #[must_use]
    pub fn change(self, bucket: &str) -> Option<Change> {
        kv::stored(bucket, self)
    }

    fn message(&self) -> LogMessage {
        LogMessage::from_parts(self.seq, &self.headers, self.payload.clone())
    }
}
