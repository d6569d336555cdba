//! How logs are stored: by the control plane itself, or for a worker by asking it.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use ports::{Error, Extent, Record, Result};
use types::subjects::store::{self, BODY_STREAM};
use types::{LogId, SandboxId};

use crate::body::{self, Body, Digest};
use crate::layout::Layout;
use crate::message::{LogMessage, NewMessage};
use crate::removal::Turns;
use crate::streams::{StreamFilter, Streams, Unstored};

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

    /// How far the log and its bodies reach.
    async fn extent(&self, log: &LogId) -> Result<Extent>;

    /// Removes what is within `extent` of the log, then of its bodies, and gives its room back to the sandbox. After an error
    /// it may be done again.
    async fn remove(&self, log: &LogId, extent: Extent) -> Result<()>;

    /// Drops the messages before number `first`, all but the last of the log, then the bodies that no other message
    /// names, and gives their room back to the sandbox. After an error it may be done again.
    async fn truncate(&self, log: &LogId, first: u64) -> Result<()>;

    /// The names of the logs of a sandbox that have messages.
    async fn names(&self, sandbox: &SandboxId) -> Result<Vec<String>>;

    /// `None`: it is not there.
    async fn piece(&self, log: &LogId, digest: &Digest, index: u64) -> Result<Option<Bytes>>;

    async fn put_piece(&self, log: &LogId, digest: &Digest, index: u64, piece: Bytes) -> Result<()>;
}

/// The records of `message`, its body fetched where it lies aside.
///
/// # Errors
/// `Internal` when the body is gone or is not what was stored.
pub async fn open(archive: &dyn Archive, log: &LogId, message: LogMessage) -> Result<Vec<Record>> {
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
    pub streams: Arc<dyn Streams>,
    pub layout: Layout,
    /// Bytes of messages that are answered at once.
    pub page_bytes: usize,
    pub turns: Turns,
}

impl Direct {
    /// Whether all pieces of a body are there. The leader is asked: others may not know of them yet.
    pub async fn has_body(&self, log: &LogId, body: &Body) -> Result<bool> {
        let pieces = body.pieces(&(0..body.size));
        let subject = store::pieces(log, &body.digest);
        let subjects = self.streams.subjects(StreamFilter { stream: BODY_STREAM, subject: &subject }).await?;
        let indexes = subjects.iter().filter_map(|subject| subject.rsplit('.').next()?.parse::<u64>().ok());
        Ok(indexes.filter(|index| pieces.contains(index)).count() as u64 == pieces.end)
    }

    /// As [`Archive::append`].
    pub async fn append_new(
        &self,
        log: &LogId,
        last: u64,
        message: NewMessage,
    ) -> std::result::Result<u64, Unstored> {
        let subject = self.layout.subject(log);
        let NewMessage { lengths, body, payload } = message;
        let headers = LogMessage::headers(lengths.as_ref(), body.as_ref());
        self.streams.try_to_store(&subject, Some(last), headers, payload).await
    }

    /// Stores a piece of a body.
    ///
    /// # Errors
    /// `Conflict` where it is there, also if the leader that has it dies now; `Unavailable` while that is not so yet.
    pub async fn put_new_piece(
        &self,
        log: &LogId,
        digest: &Digest,
        index: u64,
        piece: Bytes,
    ) -> std::result::Result<(), Unstored> {
        let subject = store::piece(log, digest, index);
        let stored = self.streams.try_to_store(&subject, Some(0), Default::default(), piece).await;
        if let Err(Unstored::Surely(Error::Conflict { .. })) = &stored {
            let there = self.streams.last(StreamFilter { stream: BODY_STREAM, subject: &subject }).await;
            if there.map_err(Unstored::Surely)?.is_none() {
                let why = "the servers have not agreed on a piece of a body yet".to_owned();
                return Err(Unstored::Surely(Error::Unavailable(why)));
            }
        }
        stored.map(|_| ())
    }
}

#[async_trait]
impl Archive for Direct {
    async fn append(&self, log: &LogId, last: u64, message: NewMessage) -> Result<u64> {
        Ok(self.append_new(log, last, message).await?)
    }

    async fn messages(&self, log: &LogId, from: u64, limit: usize) -> Result<Vec<LogMessage>> {
        let (stream, subject) = (self.layout.stream(log), self.layout.subject(log));
        let filter = StreamFilter { stream: &stream, subject: &subject };
        let page = self.streams.page(filter, from, limit, self.page_bytes).await?;
        Ok(page.into_iter().map(LogMessage::of).collect())
    }

    async fn last(&self, log: &LogId) -> Result<u64> {
        let (stream, subject) = (self.layout.stream(log), self.layout.subject(log));
        let last = self.streams.last(StreamFilter { stream: &stream, subject: &subject }).await?;
        Ok(last.map_or(0, |raw| raw.seq))
    }

    async fn extent(&self, log: &LogId) -> Result<Extent> {
        let subject = store::bodies(log);
        let bodies = self.streams.last(StreamFilter { stream: BODY_STREAM, subject: &subject });
        let (last, beside) = tokio::try_join!(self.last(log), bodies)?;
        Ok(Extent { last, beside: beside.map_or(0, |raw| raw.seq) })
    }

    async fn remove(&self, log: &LogId, extent: Extent) -> Result<()> {
        self.clear_log(log, extent).await
    }

    async fn truncate(&self, log: &LogId, first: u64) -> Result<()> {
        self.shorten(log, first).await
    }

    async fn names(&self, sandbox: &SandboxId) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for (stream, subjects) in self.layout.logs_of(sandbox) {
            let subjects =
                self.streams.subjects(StreamFilter { stream: &stream, subject: &subjects }).await?;
            names.extend(subjects.iter().filter_map(|subject| subject.rsplit('.').next()).map(str::to_owned));
        }
        Ok(names)
    }

    async fn piece(&self, log: &LogId, digest: &Digest, index: u64) -> Result<Option<Bytes>> {
        let subject = store::piece(log, digest, index);
        let piece = self.streams.constant(StreamFilter { stream: BODY_STREAM, subject: &subject }).await?;
        Ok(piece.map(|raw| raw.payload))
    }

    async fn put_piece(&self, log: &LogId, digest: &Digest, index: u64, piece: Bytes) -> Result<()> {
        match self.put_new_piece(log, digest, index, piece).await.map_err(Error::from) {
            // The same bytes have the same name.
            Err(Error::Conflict { .. }) => Ok(()),
            outcome => outcome,
        }
    }
}
