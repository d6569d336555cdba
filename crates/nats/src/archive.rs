//! How logs are stored: by the control plane itself, or for a worker by asking it.

use async_trait::async_trait;
use bytes::Bytes;
use ports::{Entry, Error, LogId, Result};
use types::SandboxId;

use crate::body::{self, Body, Digest};
use crate::jetstream::{JetStream, Place};
use crate::kv::NatsKv;
use crate::layout::{self, BLOBS, Layout};
use crate::message::{LogMessage, NewMessage};
use crate::worker::quota;

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

    /// Removes the log, then its bodies, and gives their room back to the sandbox.
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

/// Messages that are weighed at once.
const PAGE: usize = 1_000;

/// The storage itself.
pub struct Direct {
    pub jetstream: JetStream,
    pub layout: Layout,
    /// Bytes of messages that are read at once.
    pub page_bytes: usize,
}

impl Direct {
    /// Removes all logs of a sandbox and their bodies.
    pub async fn erase(&self, sandbox: &SandboxId) -> Result<()> {
        let bodies = layout::bodies_of(sandbox);
        self.jetstream.purge(Place { stream: BLOBS, subject: &bodies }).await?;
        for (stream, subject) in self.layout.logs_of(sandbox) {
            self.jetstream.purge(Place { stream: &stream, subject: &subject }).await?;
        }
        Ok(())
    }

    /// Of all messages of a place: what storing them was counted as.
    async fn weight(&self, place: Place<'_>) -> Result<u64> {
        let (mut sum, mut from) = (0, 1);
        loop {
            let page = self.jetstream.page(place, from, PAGE, self.page_bytes).await?;
            let Some(last) = page.last() else { return Ok(sum) };
            from = last.seq + 1;
            sum += page.into_iter().map(|raw| LogMessage::of(raw).weight()).sum::<u64>();
        }
    }
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
        let bodies = format!("{}.>", layout::bodies_subject(log)?);
        let places =
            [Place { stream: &stream, subject: &subject }, Place { stream: BLOBS, subject: &bodies }];
        let kv = NatsKv { jetstream: self.jetstream.clone() };
        let is_counted = quota::is_counted(&kv, &log.sandbox).await?;
        let mut removed = 0;
        for place in places {
            if is_counted {
                removed += self.weight(place).await?;
            }
            self.jetstream.purge(place).await?;
        }
        if removed > 0
            && let Err(error) = quota::give_back(&kv, &log.sandbox, removed).await
        {
            tracing::warn!(%log, %error, "the room of a removed log is not given back");
        }
        Ok(())
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
