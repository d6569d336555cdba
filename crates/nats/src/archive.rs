//! What is read and removed of the storage: by the control plane itself, or for a worker by asking it.

use async_trait::async_trait;
use bytes::Bytes;
use ports::{Entry, Error, LogId, Result};

use crate::body::{self, Body, Digest};
use crate::jetstream::{JetStream, Place, Raw};
use crate::layout::{self, BLOBS, Layout};
use crate::message::LogMessage;

/// The messages of logs, the bodies of their records, and the values of keys.
#[async_trait]
pub trait Archive: Send + Sync {
    /// Messages at or after number `from`, oldest first; fewer than `limit` to bound memory, but at least one
    /// if there is one.
    async fn messages(&self, log: &LogId, from: u64, limit: usize) -> Result<Vec<LogMessage>>;

    /// The number of the last message; 0 if there is none.
    async fn last(&self, log: &LogId) -> Result<u64>;

    /// Removes the log, then its bodies.
    async fn delete(&self, log: &LogId) -> Result<()>;

    /// `None`: it is not there.
    async fn piece(&self, log: &LogId, digest: &Digest, index: u64) -> Result<Option<Bytes>>;

    async fn put_piece(&self, log: &LogId, digest: &Digest, index: u64, piece: Bytes) -> Result<()>;

    /// The last message of a key: its value, or the mark that it has none.
    async fn value(&self, bucket: &str, key: &str) -> Result<Option<Value>>;
}

/// What is stored under a key.
#[derive(Clone, Debug)]
pub struct Value {
    pub revision: u64,
    /// `None`: it was deleted, or its time is over.
    pub bytes: Option<Bytes>,
}

/// The records of `message`, its body fetched where it lies aside.
///
/// # Errors
/// `Internal` when the body is gone or is not what was stored.
pub async fn open(archive: &dyn Archive, log: &LogId, message: LogMessage) -> Result<Vec<Entry>> {
    let Some(body) = &message.body else {
        let bytes = message.payload.clone();
        return Ok(message.records(bytes));
    };
    let damaged =
        || Error::Internal(format!("the body of message {} of log {log} is damaged", message.number));
    let pieces = body.pieces(&(0..body.size));
    let bytes = body::read(pieces, |index| archive.piece(log, &body.digest, index)).await;
    let bytes = bytes.map_err(|error| if error == Error::NotFound { damaged() } else { error })?;
    if Body::of(&bytes)? != *body {
        return Err(damaged());
    }
    Ok(message.records(bytes))
}

/// The storage itself.
pub struct Direct {
    pub jetstream: JetStream,
    pub layout: Layout,
    /// Bytes of messages in one answer to [`Archive::messages`].
    pub page_bytes: usize,
}

#[async_trait]
impl Archive for Direct {
    async fn messages(&self, log: &LogId, from: u64, limit: usize) -> Result<Vec<LogMessage>> {
        let (stream, subject) = (self.layout.stream(log), self.layout.subject(log)?);
        let place = Place { stream: &stream, subject: &subject };
        let page = self.jetstream.page(place, from, limit, self.page_bytes).await?;
        Ok(page.into_iter().map(LogMessage::of).collect())
    }

    async fn last(&self, log: &LogId) -> Result<u64> {
        let (stream, subject) = (self.layout.stream(log), self.layout.subject(log)?);
        let last = self.jetstream.last(Place { stream: &stream, subject: &subject }).await?;
        Ok(last.map_or(0, |raw| raw.seq))
    }

    async fn delete(&self, log: &LogId) -> Result<()> {
        let (stream, subject) = (self.layout.stream(log), self.layout.subject(log)?);
        self.jetstream.purge(Place { stream: &stream, subject: &subject }).await?;
        let bodies = format!("{}.>", layout::bodies_subject(log)?);
        self.jetstream.purge(Place { stream: BLOBS, subject: &bodies }).await
    }

    async fn piece(&self, log: &LogId, digest: &Digest, index: u64) -> Result<Option<Bytes>> {
        let subject = format!("{}.{digest}.{index}", layout::bodies_subject(log)?);
        let last = self.jetstream.last(Place { stream: BLOBS, subject: &subject }).await?;
        Ok(last.map(|raw| raw.payload))
    }

    async fn put_piece(&self, log: &LogId, digest: &Digest, index: u64, piece: Bytes) -> Result<()> {
        let subject = format!("{}.{digest}.{index}", layout::bodies_subject(log)?);
        self.jetstream.store(&subject, None, Default::default(), piece).await.map(|_| ())
    }

    async fn value(&self, bucket: &str, key: &str) -> Result<Option<Value>> {
        let (stream, subject) = (layout::bucket_stream(bucket), layout::key_subject(bucket, key)?);
        let last = self.jetstream.last(Place { stream: &stream, subject: &subject }).await?;
        Ok(last.map(Value::of))
    }
}

impl Value {
    pub fn of(raw: Raw) -> Self {
        let bytes = (!is_mark(&raw.headers)).then_some(raw.payload);
        Self { revision: raw.seq, bytes }
    }
}

/// Whether a message of a bucket says that its key has no value: somebody deleted it, or the server did when
/// its time was over.
pub fn is_mark(headers: &async_nats::HeaderMap) -> bool {
    headers.get(DELETED).is_some() || headers.get("Nats-Marker-Reason").is_some()
}

/// As other clients of NATS' buckets have it.
pub const DELETED: &str = "KV-Operation";
