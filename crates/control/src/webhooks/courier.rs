//! Tells one webhook what it is to be told: looks at conversations that change, and at nothing else.
//!
//! ```text
//!   news of the index ─────▶ lanes: who, and when ──▶ turns: cursor ─▶ log ─▶ call ─▶ cursor
//!   ends of conversations ─▶                                   │
//!                              ◀── done, more, or failed ───────┘
//! ```
//!
//! There is a lane for events, one for conversations, and one for the ends of those that are deleted: where a hook takes one
//! kind of calls and not the other, that is no trouble for the other. A conversation has one turn in a lane at a time, so its
//! events keep their order. All is in memory only to be sooner: what is to be told follows from cursors and logs.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt, TryStreamExt};
use outbound::Outbound;
use ports::retry::Backoff;
use ports::{Change, Error, EventLog, Kv, Result};
use readmodel::index::{ConversationState, Index};
use readmodel::vital::contained;
use telemetry::metrics::Work;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use types::ConversationId;
use types::buckets::{WEBHOOK_ENDS, WEBHOOKS};

use super::cursor::{Cursor, Cursors, Known, conversation_of, key};
use super::ending::Endings;
use super::hook::Hook;
use super::lane::{Ended, Lane, Turn};

const AGAIN: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(15));
/// What the rest gets to be told when the server stops.
const CLOSING: Duration = Duration::from_secs(5);
/// Cursors that are kept in memory.
const KNOWN: usize = 10_000;

/// Tells one hook. Cheap to clone.
#[derive(Clone)]
pub(super) struct Courier {
    pub hook: Arc<Hook>,
    /// Its number in the settings, for the log.
    pub number: usize,
    pub cursors: Cursors,
    pub endings: Endings,
    pub index: Index,
    pub log: Arc<dyn EventLog>,
    pub kv: Arc<dyn Kv>,
    pub outbound: Outbound,
    pub conversations_path: Arc<Path>,
    pub work: Work,
}

/// What one courier remembers.
pub(super) struct Desk {
    events: Lane<ConversationId>,
    infos: Lane<ConversationId>,
    ends: Lane<String>,
    /// Of conversations that were told something here.
    known: HashMap<ConversationId, (Arc<str>, Known)>,
}

/// Who has a turn.
enum Who {
    Events(Turn<ConversationId>),
    Info(Turn<ConversationId>),
    End(Turn<String>),
}

/// A turn that is over.
struct Over {
    who: Who,
    ended: Ended,
    known: Option<(Arc<ConversationState>, Known)>,
}

impl Courier {
    /// Until `stop`; with `closes`, what is left is told then.
    pub async fn run(&self, stop: CancellationToken, closes: bool) {
        let mut pauses = AGAIN;
        while !stop.is_cancelled() {
            match contained("telling a webhook", self.follow(&stop, closes)).await {
                Some(Ok(())) => return,
                Some(Err(error)) => {
                    tracing::warn!(hook = self.number, %error, "a webhook is not told for now");
                }
                None => {}
            }
            let _ = stop.run_until_cancelled(tokio::time::sleep(pauses.pause())).await;
        }
    }

    async fn follow(&self, stop: &CancellationToken, closes: bool) -> Result<()> {
        // From here on nothing is missed.
        let news = self.index.news_of_all();
        let mut ends = self.kv.watch(WEBHOOK_ENDS).await?;
        let mut desk = Desk::new();
        self.look_through(&mut desk).await?;
        let mut turns: FuturesUnordered<BoxFuture<'_, Over>> = FuturesUnordered::new();
        loop {
            self.begin(&mut desk, &turns);
            let wake = desk.next();
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(over) = turns.next(), if !turns.is_empty() => self.settle(&mut desk, over),
                changed = news.next() => match changed {
                    Some(id) => self.note(&mut desk, id),
                    None => return Err(Error::Unavailable("more has changed than is waited for".to_owned())),
                },
                change = ends.next() => match change {
                    Some(Change::Put { key, .. }) => self.note_end(&mut desk, &key),
                    Some(Change::Deleted { .. }) => {}
                    Some(Change::Lagged) => self.look_for_ends(&mut desk).await?,
                    None => return Err(Error::Unavailable("the watch of the ends is over".to_owned())),
                },
                () = sleep_until(wake), if wake.is_some() => {}
            }
        }
        if closes {
            let _ = tokio::time::timeout(CLOSING, self.close(&mut desk, &mut turns)).await;
        }
        Ok(())
    }

    /// Tells what is left, where nothing has failed.
    async fn close<'a>(&'a self, desk: &mut Desk, turns: &mut FuturesUnordered<BoxFuture<'a, Over>>) {
        let now = Instant::now();
        desk.events.hurry(now);
        desk.infos.hurry(now);
        desk.ends.hurry(now);
        loop {
            self.begin(desk, turns);
            let Some(over) = turns.next().await else { return };
            self.settle(desk, over);
        }
    }

    /// Gives turns to those who are to have one now.
    fn begin<'a>(&'a self, desk: &mut Desk, turns: &FuturesUnordered<BoxFuture<'a, Over>>) {
        let now = Instant::now();
        while let Some(turn) = desk.events.take(now) {
            let known = desk.known_of(&turn.key);
            turns.push(self.events_turn(turn, known).boxed());
        }
        while let Some(turn) = desk.infos.take(now) {
            let known = desk.known_of(&turn.key);
            turns.push(self.info_turn(turn, known).boxed());
        }
        while let Some(turn) = desk.ends.take(now) {
            let id = self.endings.conversation(&turn.key);
            // What is being told of it comes first.
            let waits = id.is_some_and(|id| desk.events.is_busy(&id) || desk.infos.is_busy(&id));
            turns.push(self.end_turn(turn, waits).boxed());
        }
    }

    async fn events_turn(&self, turn: Turn<ConversationId>, known: Option<(Arc<str>, Known)>) -> Over {
        let Some((entry, known)) = self.present(turn.key, known) else {
            return Over { who: Who::Events(turn), ended: Ended::Done { delivered: false }, known: None };
        };
        let told = contained("telling a webhook of events", self.tell_events(&entry, known, &turn)).await;
        let (ended, known) = told.unwrap_or_else(|| (self.failed(&turn), None));
        Over { who: Who::Events(turn), ended, known: known.map(|known| (entry, known)) }
    }

    async fn info_turn(&self, turn: Turn<ConversationId>, known: Option<(Arc<str>, Known)>) -> Over {
        let Some((entry, known)) = self.present(turn.key, known) else {
            return Over { who: Who::Info(turn), ended: Ended::Done { delivered: false }, known: None };
        };
        let told =
            contained("telling a webhook of a conversation", self.tell_info(&entry, known, &turn)).await;
        let (ended, known) = told.unwrap_or_else(|| (self.failed(&turn), None));
        Over { who: Who::Info(turn), ended, known: known.map(|known| (entry, known)) }
    }

    async fn end_turn(&self, turn: Turn<String>, waits: bool) -> Over {
        let ended = match waits {
            true => Ended::Again {
                delivered: false,
                due: Instant::now() + Duration::from_millis(50),
                flush_at: turn.flush_at,
            },
            false => contained("telling a webhook of an end", self.tell_end(&turn))
                .await
                .unwrap_or_else(|| self.failed(&turn)),
        };
        Over { who: Who::End(turn), ended, known: None }
    }

    /// The conversation, and what is known of it, unless that is of an earlier one with its id.
    fn present(
        &self,
        id: ConversationId,
        known: Option<(Arc<str>, Known)>,
    ) -> Option<(Arc<ConversationState>, Option<Known>)> {
        let entry = self.index.any(id)?;
        let known = known.filter(|(made_at, _)| *made_at == entry.created_at()).map(|(_, known)| known);
        Some((entry, known))
    }

    pub(super) fn failed<K>(&self, turn: &Turn<K>) -> Ended {
        Ended::Failed { until: Instant::now() + self.hook.pause(turn.failures + 1) }
    }

    fn settle(&self, desk: &mut Desk, over: Over) {
        if let Some((entry, known)) = over.known {
            desk.learn(&entry, known);
        }
        let now = Instant::now();
        match over.who {
            Who::Events(turn) => desk.events.ended(turn, &over.ended, now),
            Who::Info(turn) => desk.infos.ended(turn, &over.ended, now),
            Who::End(turn) => desk.ends.ended(turn, &over.ended, now),
        }
    }

    /// A conversation has come, changed or gone.
    fn note(&self, desk: &mut Desk, id: ConversationId) {
        let Some(entry) = self.index.any(id) else {
            desk.events.forget(&id);
            desk.infos.forget(&id);
            desk.known.remove(&id);
            return;
        };
        let known = desk.known.get(&id).filter(|(made_at, _)| *made_at == entry.created_at());
        self.note_present(desk, &entry, known.map(|(_, known)| known.cursor.clone()).as_ref());
    }

    fn note_present(&self, desk: &mut Desk, entry: &ConversationState, cursor: Option<&Cursor>) {
        let now = Instant::now();
        let flush_at = now + self.hook.flush_delay;
        match cursor.map(|cursor| cursor.unsent(entry)) {
            Some(0) => {}
            // Fewer than are told at once: they wait for more.
            Some(unsent) if !self.is_full(unsent) => desk.events.touch(&entry.id, flush_at, flush_at),
            Some(_) | None => desk.events.touch(&entry.id, now, flush_at),
        }
        if cursor.is_none_or(|cursor| cursor.is_untold(entry)) {
            desk.infos.touch(&entry.id, now, now);
        }
    }

    pub(super) fn is_full(&self, unsent: u64) -> bool {
        usize::try_from(unsent).unwrap_or(usize::MAX) >= self.hook.event_buffer_size
    }

    fn note_end(&self, desk: &mut Desk, key: &str) {
        if self.endings.conversation(key).is_some() {
            let now = Instant::now();
            desk.ends.touch(&key.to_owned(), now, now);
        }
    }

    /// What was left to tell when there was nobody to tell it.
    async fn look_through(&self, desk: &mut Desk) -> Result<()> {
        let mut without = HashMap::new();
        for entry in self.index.all() {
            without.insert(key(&self.endings.hook, &entry), entry);
        }
        let mut orphans = Vec::new();
        let mut scan = self.kv.scan(WEBHOOKS);
        while let Some(change) = scan.try_next().await? {
            let Change::Put { key, entry: stored } = change else { continue };
            let Some(id) = conversation_of(&self.endings.hook, &key) else { continue };
            match (without.remove(&key), serde_json::from_slice::<Cursor>(&stored.value)) {
                (Some(entry), Ok(cursor)) => self.note_left(desk, &entry, Some(&cursor)),
                (Some(entry), Err(_)) => self.note_left(desk, &entry, None),
                (None, _) => orphans.push((id, key)),
            }
        }
        drop(scan);
        for entry in without.values().filter(|entry| self.cursors.may_be_new(entry)) {
            self.note_left(desk, entry, None);
        }
        self.look_for_ends(desk).await?;
        for (id, key) in orphans {
            self.remove_orphan(id, &key).await?;
        }
        Ok(())
    }

    /// It has waited long enough.
    fn note_left(&self, desk: &mut Desk, entry: &ConversationState, cursor: Option<&Cursor>) {
        let now = Instant::now();
        if cursor.is_none_or(|cursor| cursor.unsent(entry) > 0) {
            desk.events.touch(&entry.id, now, now);
        }
        if cursor.is_none_or(|cursor| cursor.is_untold(entry)) {
            desk.infos.touch(&entry.id, now, now);
        }
    }

    async fn look_for_ends(&self, desk: &mut Desk) -> Result<()> {
        let mut pieces = Vec::new();
        let mut scan = self.kv.scan(WEBHOOK_ENDS);
        while let Some(change) = scan.try_next().await? {
            let Change::Put { key, .. } = change else { continue };
            self.note_end(desk, &key);
            pieces.extend(
                self.endings.record_of_piece(&key).map(|(id, record)| (id, record.to_owned(), key.clone())),
            );
        }
        for (id, record, piece) in pieces {
            // A deletion was cut off before it could name them, or is about to.
            if self.endings.get(&record).await?.is_none() && self.index.read(id).await?.is_none() {
                self.kv.delete(WEBHOOK_ENDS, &piece, ports::Expect::Anything).await?;
            }
        }
        Ok(())
    }

    /// A cursor of a conversation that is not there, unless its end is still to be told, or it is only not known here yet.
    async fn remove_orphan(&self, id: ConversationId, key: &str) -> Result<()> {
        let is_there = self.index.read(id).await?.is_some() || self.endings.get(key).await?.is_some();
        match is_there {
            true => Ok(()),
            false => self.kv.delete(WEBHOOKS, key, ports::Expect::Anything).await,
        }
    }
}

impl Desk {
    fn new() -> Self {
        Self { events: Lane::new(), infos: Lane::new(), ends: Lane::new(), known: HashMap::new() }
    }

    fn next(&self) -> Option<Instant> {
        [self.events.next(), self.infos.next(), self.ends.next()].into_iter().flatten().min()
    }

    fn known_of(&self, id: &ConversationId) -> Option<(Arc<str>, Known)> {
        self.known.get(id).cloned()
    }

    /// Of what both lanes have learned, the newer counts.
    fn learn(&mut self, entry: &ConversationState, known: Known) {
        let made_at = entry.created_at();
        let before = self.known.get(&entry.id).filter(|(before, _)| *before == made_at);
        if before.is_some_and(|(_, before)| before.revision > known.revision) {
            return;
        }
        if self.known.len() >= KNOWN && !self.known.contains_key(&entry.id) {
            // They are in the store.
            self.known.clear();
        }
        self.known.insert(entry.id, (made_at, known));
    }
}

async fn sleep_until(due: Option<Instant>) {
    if let Some(due) = due {
        tokio::time::sleep_until(due).await;
    }
}
