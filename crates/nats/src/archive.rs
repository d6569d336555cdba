//! How logs are stored: by the control plane itself, or for a worker by asking it.

use std::collections::BTreeSet;
use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use ports::{Error, Record, Result};
use tokio::sync::Semaphore;
use types::subjects::store::{self, BODY_STREAM};
use types::{LogId, SandboxId};

use crate::body::{self, Body, Digest};
use crate::jetstream::{JetStream, StreamFilter};
use crate::kv::NatsKv;
use crate::layout::Layout;
use crate::message::{LOG_WEIGHT, LogMessage, NewMessage, piece_weight};
use crate::room;

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

    /// Drops the messages before number `first`, all but the last of the log, then the bodies that no other message
    /// names, and gives their room back to the sandbox.
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

/// How often what is removed is weighed, where somebody appends to it all the time.
const ROUNDS: usize = 8;
/// Messages that are looked at at once.
const PAGE: usize = 1_000;

/// Logs that are removed at once.
pub const REMOVALS: usize = 4;

/// The storage itself.
pub struct Direct {
    pub jetstream: JetStream,
    pub layout: Layout,
    /// Bytes of messages that are read at once.
    pub page_bytes: usize,
    /// Few logs are removed at once: all that goes is read to be weighed, and a server hangs up on who is sent more
    /// than it can take. And of many that gave room back at the same moment some would give up, and room be lost.
    pub removing: Semaphore,
}

/// What storing messages was counted as.
#[derive(Default)]
struct Load {
    messages: u64,
    bytes: u64,
    last: u64,
}

impl Load {
    fn add(&mut self, number: u64, weight: u64) {
        self.messages += 1;
        self.bytes += weight;
        self.last = number;
    }

    /// The room that somebody gives back who has removed `removed` of them. Nothing where others have removed some at
    /// the same time: nobody knows which, and the room of a message must not be given back twice.
    fn of_removed(&self, removed: u64) -> u64 {
        if removed == self.messages { self.bytes } else { 0 }
    }
}

impl Direct {
    /// Removes all logs of a sandbox and their bodies.
    pub async fn erase(&self, sandbox: &SandboxId) -> Result<()> {
        let bodies = store::bodies_of(sandbox);
        self.jetstream.purge(StreamFilter { stream: BODY_STREAM, subject: &bodies }).await?;
        for (stream, subject) in self.layout.logs_of(sandbox) {
            self.jetstream.purge(StreamFilter { stream: &stream, subject: &subject }).await?;
        }
        Ok(())
    }

    /// Shows the messages of a place with numbers in `range`, oldest first.
    async fn for_each(
        &self,
        filter: StreamFilter<'_>,
        range: Range<u64>,
        mut show: impl FnMut(LogMessage) + Send,
    ) -> Result<()> {
        let mut from = range.start.max(1);
        loop {
            let page = self.jetstream.page(filter, from, PAGE, self.page_bytes).await?;
            let Some(last) = page.last() else { return Ok(()) };
            from = last.seq + 1;
            page.into_iter().filter(|raw| raw.seq < range.end).for_each(|raw| show(LogMessage::of(raw)));
            if from >= range.end {
                return Ok(());
            }
        }
    }

    /// Removes all messages of a filter, and answers what storing them was counted as, if it was.
    async fn remove(&self, filter: StreamFilter<'_>, is_counted: bool) -> Result<u64> {
        let (mut room, rounds) = (0, if is_counted { ROUNDS } else { 0 });
        for _ in 0..rounds {
            let load = self.weigh(filter, 1..u64::MAX).await?;
            if load.messages == 0 {
                return Ok(room);
            }
            // And no others, which were not weighed.
            room += load.of_removed(self.jetstream.purge_before(filter, load.last + 1).await?);
        }
        self.jetstream.purge(filter).await?;
        Ok(room)
    }

    async fn weigh(&self, filter: StreamFilter<'_>, range: Range<u64>) -> Result<Load> {
        let mut load = Load::default();
        self.for_each(filter, range, |message| load.add(message.number, weight_in(filter, &message))).await?;
        Ok(load)
    }

    /// Whether all pieces of a body are there. The leader is asked: others may not know of them yet.
    pub async fn has_body(&self, log: &LogId, body: &Body) -> Result<bool> {
        let pieces = body.pieces(&(0..body.size));
        let subject = store::pieces(log, &body.digest);
        let subjects =
            self.jetstream.subjects(StreamFilter { stream: BODY_STREAM, subject: &subject }).await?;
        let indexes = subjects.iter().filter_map(|subject| subject.rsplit('.').next()?.parse::<u64>().ok());
        Ok(indexes.filter(|index| pieces.contains(index)).count() as u64 == pieces.end)
    }

    /// Stores a piece of a body.
    ///
    /// # Errors
    /// `Conflict` where it is there.
    pub async fn put_new_piece(&self, log: &LogId, digest: &Digest, index: u64, piece: Bytes) -> Result<()> {
        let subject = store::piece(log, digest, index);
        self.jetstream.store(&subject, Some(0), Default::default(), piece).await.map(|_| ())
    }

    /// Does what [`Archive::truncate`] says, but for the room, which it adds to `room`.
    async fn drop_before(&self, log: &LogId, first: u64, room: &mut u64) -> Result<()> {
        let (stream, subject) = (self.layout.stream(log), self.layout.subject(log));
        let filter = StreamFilter { stream: &stream, subject: &subject };
        let first = first.min(self.last(log).await?);
        let (mut load, mut bodies) = (Load::default(), BTreeSet::new());
        self.for_each(filter, 1..first, |message| {
            load.add(message.number, message.weight());
            bodies.extend(message.body.map(|body| body.digest));
        })
        .await?;
        if load.messages == 0 {
            return Ok(());
        }
        *room += load.of_removed(self.jetstream.purge_before(filter, first).await?);
        if bodies.is_empty() {
            return Ok(());
        }
        self.for_each(filter, first..u64::MAX, |message| {
            message.body.map(|body| bodies.remove(&body.digest));
        })
        .await?;
        for digest in bodies {
            let pieces = store::pieces(log, &digest);
            *room += self.remove(StreamFilter { stream: BODY_STREAM, subject: &pieces }, true).await?;
        }
        Ok(())
    }

    async fn is_counted(&self, log: &LogId) -> Result<bool> {
        room::is_counted(&self.kv(), log.sandbox()).await
    }

    async fn give_back(&self, log: &LogId, room: u64) {
        if room > 0
            && let Err(error) = room::give_back(&self.kv(), log.sandbox(), room).await
        {
            tracing::warn!(%log, %error, "the room of what was removed from a log is not given back");
        }
    }

    fn kv(&self) -> NatsKv {
        NatsKv { jetstream: self.jetstream.clone() }
    }
}

#[async_trait]
impl Archive for Direct {
    async fn append(&self, log: &LogId, last: u64, message: NewMessage) -> Result<u64> {
        let subject = self.layout.subject(log);
        let NewMessage { lengths, body, payload } = message;
        self.jetstream
            .store(&subject, Some(last), LogMessage::headers(lengths.as_ref(), body.as_ref()), payload)
            .await
    }

    async fn messages(&self, log: &LogId, from: u64, limit: usize) -> Result<Vec<LogMessage>> {
        let (stream, subject) = (self.layout.stream(log), self.layout.subject(log));
        let filter = StreamFilter { stream: &stream, subject: &subject };
        let page = self.jetstream.page(filter, from, limit, self.page_bytes).await?;
        Ok(page.into_iter().map(LogMessage::of).collect())
    }

    async fn last(&self, log: &LogId) -> Result<u64> {
        let (stream, subject) = (self.layout.stream(log), self.layout.subject(log));
        let last = self.jetstream.last(StreamFilter { stream: &stream, subject: &subject }).await?;
        Ok(last.map_or(0, |raw| raw.seq))
    }

    async fn delete(&self, log: &LogId) -> Result<()> {
        let _turn = self.removing.acquire().await;
        let (stream, subject) = (self.layout.stream(log), self.layout.subject(log));
        let pieces = store::bodies(log);
        let is_counted = self.is_counted(log).await?;
        let removed = self.remove(StreamFilter { stream: &stream, subject: &subject }, is_counted).await?;
        let bodies = self.remove(StreamFilter { stream: BODY_STREAM, subject: &pieces }, is_counted).await;
        let own = if removed > 0 { LOG_WEIGHT } else { 0 };
        self.give_back(log, removed + own + bodies.as_ref().copied().unwrap_or_default()).await;
        bodies.map(|_| ())
    }

    async fn truncate(&self, log: &LogId, first: u64) -> Result<()> {
        let _turn = self.removing.acquire().await;
        let mut room = 0;
        let dropped = self.drop_before(log, first, &mut room).await;
        if self.is_counted(log).await? {
            self.give_back(log, room).await;
        }
        dropped
    }

    async fn names(&self, sandbox: &SandboxId) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for (stream, subjects) in self.layout.logs_of(sandbox) {
            let subjects =
                self.jetstream.subjects(StreamFilter { stream: &stream, subject: &subjects }).await?;
            names.extend(subjects.iter().filter_map(|subject| subject.rsplit('.').next()).map(str::to_owned));
        }
        Ok(names)
    }

    async fn piece(&self, log: &LogId, digest: &Digest, index: u64) -> Result<Option<Bytes>> {
        let subject = store::piece(log, digest, index);
        let piece = self.jetstream.constant(StreamFilter { stream: BODY_STREAM, subject: &subject }).await?;
        Ok(piece.map(|raw| raw.payload))
    }

    async fn put_piece(&self, log: &LogId, digest: &Digest, index: u64, piece: Bytes) -> Result<()> {
        match self.put_new_piece(log, digest, index, piece).await {
            // The same bytes have the same name.
            Err(Error::Conflict { .. }) => Ok(()),
            outcome => outcome,
        }
    }
}

fn weight_in(filter: StreamFilter<'_>, message: &LogMessage) -> u64 {
    if filter.stream == BODY_STREAM { piece_weight(&message.payload) } else { message.weight() }
}
