//! How logs are stored: by the control plane itself, or for a worker by asking it.

use async_trait::async_trait;
use bytes::Bytes;
use ports::{Entry, Error, LogId, Result};

use crate::body::{self, Body, Digest};
use crate::jetstream::{JetStream, Place};
use crate::layout::{self, BLOBS, Layout};
use crate::message::{LogMessage, NewMessage};

/// The messages of logs, and the bodies of their records.
#[async_trait]
pub trait Archive: Send + Sync {
    /// Stores a message if the log's last one is message `last` (0: if there is none), and answers its number.
    async fn append(&self, log: &LogId, last: u64, message: NewMessage) -> Result<u64>;

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
    async fn append(&self, log: &LogId, last: u64, message: NewMessage) -> Result<u64> {
        let subject = self.layout.subject(log)?;
        let NewMessage { lengths, body, payload } = message;
        self.jetstream.store(&subject, Some(last), LogMessage::headers(lengths, body.as_ref()), payload).await
    }

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
}
