//! How logs go, as a whole or from the front, and with them the bodies of their records; and what room that gives back.
//!
//! *Looked at first.* What goes is read to be weighed, so a failure before anything has gone changes nothing.
//!
//! *Messages, then bodies.* Nobody may find a record whose body has gone. A process that ends between the two leaves
//! bodies behind that no message names. So whoever has cut a front looks for all such bodies of the log, not only for those
//! that its own messages named: the next cut completes one that was cut off, and until then they stay. Whoever waits for
//! the cut need not wait for that: it asks again, and finds the front gone. A body may also be unnamed because its message
//! is not appended yet; but then some piece of it is newer than the last message, since a log has one writer, which
//! appends one message after the other.
//!
//! *Room.* What was weighed is given back by whoever has removed all of it, and by nobody where several have removed some:
//! nobody knows which, and the room of a message must not come back twice. What is lost so, and where a purge goes
//! unanswered, is found when the sandbox is [weighed](Direct::weigh_all) as a whole.
//!
//! *Turns.* Few logs are removed or weighed at once ([`AT_ONCE`]): a server hangs up on who is sent more than it can take. Of one
//! sandbox one log is cut at a time by one process, so that a worker cannot take the turns of others.

use std::collections::BTreeSet;
use std::ops::Range;

use ports::mutants::{self, Mutant};
use ports::storage::Sums;
use ports::{Extent, Result};
use tokio::sync::Semaphore;
use types::subjects::store::{self, BODY_STREAM};
use types::{LogId, SandboxId};

use crate::archive::{Archive, Direct};
use crate::body::Digest;
use crate::kv::NatsKv;
use crate::message::{LOG_WEIGHT, LogMessage, piece_weight};
use crate::stored::Raw;
use crate::streams::StreamFilter;

/// What is removed, cut or weighed at once.
const AT_ONCE: usize = 4;
/// Messages that are looked at at once, and their bytes.
const PAGE: usize = 1_000;
const PAGE_BYTES: usize = 4 << 20;

/// Who may remove something now.
pub struct Turns {
    all: Semaphore,
    sandboxes: ports::Turns<SandboxId>,
}

/// What storing messages was counted as.
#[derive(Default)]
struct Load {
    messages: u64,
    bytes: u64,
}

impl Default for Turns {
    fn default() -> Self {
        Self { all: Semaphore::new(AT_ONCE), sandboxes: ports::Turns::default() }
    }
}

impl Load {
    fn add(&mut self, weight: u64) {
        self.messages += 1;
        self.bytes += weight;
    }

    /// The room that somebody gives back who has removed `removed` of them.
    fn of_removed(&self, removed: u64) -> u64 {
        if removed == self.messages { self.bytes } else { 0 }
    }
}

impl Direct {
    /// Does what [`Archive::remove`] says.
    pub async fn clear_log(&self, log: &LogId, extent: Extent) -> Result<()> {
        let _turn = self.turns.all.acquire().await;
        let is_counted = self.is_counted(log).await?;
        let mut room = 0;
        let removed = self.clear_within(log, extent, is_counted, &mut room).await;
        self.give_back(log, room).await;
        removed
    }

    async fn clear_within(
        &self,
        log: &LogId,
        extent: Extent,
        is_counted: bool,
        room: &mut u64,
    ) -> Result<()> {
        let (stream, subject) = (self.layout.stream(log), self.layout.subject(log));
        let filter = StreamFilter { stream: &stream, subject: &subject };
        let pieces = store::bodies(log);
        let bodies = StreamFilter { stream: BODY_STREAM, subject: &pieces };
        if mutants::is(Mutant::BodiesFirst) {
            self.clear(bodies, extent.beside, is_counted, room).await?;
        }
        self.clear(filter, extent.last, is_counted, room).await?;
        // A log that goes on has its own weight still.
        if *room > 0 && matches!(self.streams.last(filter).await, Ok(None)) {
            *room += LOG_WEIGHT;
        }
        self.clear(bodies, extent.beside, is_counted, room).await
    }

    /// Does what [`Archive::truncate`] says.
    pub async fn shorten(&self, log: &LogId, first: u64) -> Result<()> {
        let (stream, subject) = (self.layout.stream(log), self.layout.subject(log));
        let filter = StreamFilter { stream: &stream, subject: &subject };
        // Who asks again waits for no turn, nor for what is still done after the front has gone.
        if !self.begins_before(filter, first).await? {
            return Ok(());
        }
        let _own = self.turns.sandboxes.wait(log.sandbox().clone()).await;
        let _turn = self.turns.all.acquire().await;
        let is_counted = self.is_counted(log).await?;
        let mut room = 0;
        let dropped = self.drop_before(filter, first, is_counted, &mut room).await;
        // At once: whoever weighs the sandbox finds this gone.
        self.give_back(log, room).await;
        if let Some(last) = dropped?
            && let Err(error) = self.drop_unnamed(log, filter, first, &last, is_counted).await
        {
            tracing::warn!(%log, %error, "bodies that no record names stay until the log is cut again");
        }
        Ok(())
    }

    async fn begins_before(&self, filter: StreamFilter<'_>, first: u64) -> Result<bool> {
        let page = self.streams.page(filter, 1, 1, PAGE_BYTES).await?;
        Ok(page.first().is_some_and(|raw| raw.seq < first))
    }

    /// The last message as it was before, if anything has gone.
    async fn drop_before(
        &self,
        filter: StreamFilter<'_>,
        first: u64,
        is_counted: bool,
        room: &mut u64,
    ) -> Result<Option<Raw>> {
        let Some(last) = self.streams.last(filter).await? else { return Ok(None) };
        let first = first.min(last.seq);
        let load = if is_counted { self.weigh(filter, 1..first).await? } else { Load::default() };
        let removed = self.streams.purge_before(filter, first).await?;
        *room += load.of_removed(removed);
        Ok((removed > 0).then_some(last))
    }

    /// Removes the bodies that no message names, and none that is younger than the message that was the `last`.
    async fn drop_unnamed(
        &self,
        log: &LogId,
        filter: StreamFilter<'_>,
        first: u64,
        last: &Raw,
        is_counted: bool,
    ) -> Result<()> {
        let mut unnamed = self.bodies(log).await?;
        if !unnamed.is_empty() {
            // Not from the beginning: a replica that lags behind still has what has gone.
            self.for_each(filter, first.min(last.seq)..u64::MAX, |message| {
                message.body.map(|body| unnamed.remove(&body.digest));
            })
            .await?;
        }
        for digest in unnamed {
            let pieces = store::pieces(log, &digest);
            let filter = StreamFilter { stream: BODY_STREAM, subject: &pieces };
            let newest = self.streams.last(filter).await?;
            if let Some(newest) = newest.filter(|newest| newest.is_older_than(last)) {
                let mut room = 0;
                let cleared = self.clear(filter, newest.seq, is_counted, &mut room).await;
                self.give_back(log, room).await;
                cleared?;
            }
        }
        Ok(())
    }

    /// The bodies that a log has.
    async fn bodies(&self, log: &LogId) -> Result<BTreeSet<Digest>> {
        let subject = store::bodies(log);
        let pieces = self.streams.subjects(StreamFilter { stream: BODY_STREAM, subject: &subject }).await?;
        Ok(pieces.iter().filter_map(|piece| piece.rsplit('.').nth(1)?.parse().ok()).collect())
    }

    /// Removes all logs of a sandbox and their bodies.
    pub async fn erase(&self, sandbox: &SandboxId) -> Result<()> {
        let bodies = store::bodies_of(sandbox);
        self.streams.purge(StreamFilter { stream: BODY_STREAM, subject: &bodies }).await?;
        for (stream, subject) in self.layout.logs_of(sandbox) {
            self.streams.purge(StreamFilter { stream: &stream, subject: &subject }).await?;
        }
        Ok(())
    }

    /// What all that a sandbox stores is counted as. That is all read, so whoever asks has one weighed at a time.
    pub async fn weigh_all(&self, sandbox: &SandboxId) -> Result<u64> {
        let _turn = self.turns.all.acquire().await;
        let bodies = store::bodies_of(sandbox);
        let mut bytes =
            self.weigh(StreamFilter { stream: BODY_STREAM, subject: &bodies }, 1..u64::MAX).await?.bytes;
        for (stream, subject) in self.layout.logs_of(sandbox) {
            bytes +=
                self.weigh(StreamFilter { stream: &stream, subject: &subject }, 1..u64::MAX).await?.bytes;
        }
        Ok(bytes + LOG_WEIGHT * self.names(sandbox).await?.len() as u64)
    }

    /// Removes the messages of a filter up to number `last`; adds what storing them was counted as, if it was, to `room`.
    async fn clear(
        &self,
        filter: StreamFilter<'_>,
        last: u64,
        is_counted: bool,
        room: &mut u64,
    ) -> Result<()> {
        let behind = last.saturating_add(1);
        let load = if is_counted { self.weigh(filter, 1..behind).await? } else { Load::default() };
        if last > 0 && !(is_counted && load.messages == 0) {
            *room += load.of_removed(self.streams.purge_before(filter, behind).await?);
        }
        Ok(())
    }

    async fn weigh(&self, filter: StreamFilter<'_>, range: Range<u64>) -> Result<Load> {
        let mut load = Load::default();
        self.for_each(filter, range, |message| load.add(weight_in(filter, &message))).await?;
        Ok(load)
    }

    /// Shows the messages of a place with numbers in `range`, oldest first.
    async fn for_each(
        &self,
        filter: StreamFilter<'_>,
        range: Range<u64>,
        mut show: impl FnMut(LogMessage) + Send,
    ) -> Result<()> {
        let mut from = range.start.max(1);
        while from < range.end {
            let page = self.streams.page(filter, from, PAGE, PAGE_BYTES).await?;
            let Some(last) = page.last() else { return Ok(()) };
            from = last.seq + 1;
            page.into_iter().filter(|raw| raw.seq < range.end).for_each(|raw| show(LogMessage::of(raw)));
        }
        Ok(())
    }

    async fn is_counted(&self, log: &LogId) -> Result<bool> {
        Ok(Sums::of(&self.kv()).get(log.sandbox()).await?.is_some())
    }

    async fn give_back(&self, log: &LogId, room: u64) {
        let bytes = i64::try_from(room).unwrap_or(i64::MAX);
        if bytes > 0
            && let Err(error) = Sums::of(&self.kv()).add(log.sandbox(), -bytes).await
        {
            tracing::warn!(%log, %error, "the room of what was removed from a log is not given back");
        }
    }

    fn kv(&self) -> NatsKv {
        NatsKv { streams: self.streams.clone() }
    }
}

fn weight_in(filter: StreamFilter<'_>, message: &LogMessage) -> u64 {
    if filter.stream == BODY_STREAM { piece_weight(&message.payload) } else { message.weight() }
}
