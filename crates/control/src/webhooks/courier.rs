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
use futures_util::{FutureExt, StreamExt};
use outbound::Outbound;
use ports::retry::Backoff;
use ports::{Change, Error, EventLog, Kv, Result};
use readmodel::index::{ConversationState, Index};
use readmodel::vital::contained;
use telemetry::metrics::Work;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use types::ConversationId;
use types::buckets::WEBHOOK_ENDS;

use super::cursor::{self, Cursor, Cursors, Known};
use super::ending::{Endings, TRYING};
use super::hook::Hook;
use super::lane::{Ended, Lane, Turn};
use super::ledger::{Ledger, Waits};
use super::look::Kept;

const AGAIN: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(15));
/// What the rest gets to be told when the server stops.
const CLOSING: Duration = Duration::from_secs(5);
/// Ends of a hook together, in what one of them may have.
const ENDS: usize = 20;
/// Until an end is told whose conversation is being told of.
const SOON: Duration = Duration::from_millis(50);
/// Until room is made again, where the store did not.
const NO_ROOM: Duration = Duration::from_secs(5);
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
    pub waits: Arc<Waits>,
}

/// What one courier remembers.
pub(super) struct Desk {
    pub events: Lane<ConversationId>,
    pub infos: Lane<ConversationId>,
    ends: Lane<String>,
    ledger: Ledger,
    /// Of conversations that were told something here.
    known: HashMap<ConversationId, (Arc<str>, Known)>,
}

/// Who has a turn.
enum Who {
    Events(Turn<ConversationId>),
    Info(Turn<ConversationId>),
    End(Turn<String>),
}

/// What is done beside the turns.
enum Chore {
    Look(Result<Vec<Kept>>),
    /// Keys of ends that are not there any more.
    Gone(Vec<String>),
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
        let mut desk = Desk::new(self.hook.max_queue_bytes.saturating_mul(ENDS));
        self.look_through(&mut desk).await?;
        let mut turns: FuturesUnordered<BoxFuture<'_, Over>> = FuturesUnordered::new();
        let mut chores: FuturesUnordered<BoxFuture<'_, Chore>> = FuturesUnordered::new();
        let mut cleaning = tokio::time::interval(TRYING);
        loop {
            self.begin(&mut desk, &turns);
            if chores.is_empty()
                && let Some(key) = desk.ledger.too_much()
            {
                chores.push(self.make_room(key).boxed());
            }
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
                    Some(Change::Put { key, entry }) => self.note_end(&mut desk, &key, entry.value.len()),
                    Some(Change::Deleted { key }) => desk.ledger.remove(self.record_of(&key), &key),
                    Some(Change::Lagged) => {
                        chores.push(async { Chore::Look(self.find_ends().await) }.boxed());
                    }
                    None => return Err(Error::Unavailable("the watch of the ends is over".to_owned())),
                },
                Some(chore) = chores.next(), if !chores.is_empty() => match chore {
                    Chore::Look(found) => self.note_ends(&mut desk, found?),
                    Chore::Gone(keys) => {
                        keys.iter().for_each(|key| desk.ledger.remove(self.record_of(key), key));
                    }
                },
                _ = cleaning.tick() => {
                    let keys = desk.ledger.keys().map(str::to_owned).collect();
                    chores.push(async { Chore::Gone(self.remove_left(keys).await) }.boxed());
                }
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
            let end = self.index.any(turn.key).map(|entry| cursor::key(&self.endings.hook, &entry));
            let end = end.filter(|end| desk.ends.has(end));
            turns.push(self.events_turn(turn, known, end).boxed());
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

    async fn events_turn(
        &self,
        turn: Turn<ConversationId>,
        known: Option<(Arc<str>, Known)>,
        end: Option<String>,
    ) -> Over {
        let Some((entry, known)) = self.present(turn.key, known) else {
            return Over { who: Who::Events(turn), ended: Ended::Done { delivered: false }, known: None };
        };
        let telling = self.tell_events(&entry, known, &turn, end.as_deref());
        let told = contained("telling a webhook of events", telling).await;
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
            true => Ended::Waits { due: Instant::now() + SOON },
            false => contained("telling a webhook of an end", self.tell_end(&turn))
                .await
                .unwrap_or_else(|| self.failed(&turn)),
        };
        Over { who: Who::End(turn), ended, known: None }
    }

    /// There is more of ends than is kept: the one that has most loses its events.
    async fn make_room(&self, key: String) -> Chore {
        match self.endings.give_up(&key).await {
            Ok(Some(gone)) => {
                tracing::warn!(
                    hook = self.number,
                    key,
                    "too much waits for a webhook, the largest end is given up"
                );
                self.work.hook_gave_up();
                Chore::Gone(gone)
            }
            Ok(None) => Chore::Gone(vec![key]),
            Err(error) => {
                tracing::warn!(hook = self.number, %error, "too much waits for a webhook, and no room can be made");
                tokio::time::sleep(NO_ROOM).await;
                Chore::Gone(Vec::new())
            }
        }
    }

    /// The record of an end that a key belongs to.
    pub(super) fn record_of<'a>(&self, key: &'a str) -> &'a str {
        self.endings.record_of_piece(key).map_or(key, |(record, _)| record)
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
            Who::End(turn) => {
                let id = self.endings.conversation(&turn.key);
                if matches!(over.ended, Ended::Done { .. }) {
                    self.waits.forget(&turn.key);
                }
                desk.ends.ended(turn, &over.ended, now);
                if let (Ended::Done { .. }, Some(id)) = (over.ended, id) {
                    // Its cursor may have gone, and what has come meanwhile be untold.
                    desk.known.remove(&id);
                    self.note(desk, id);
                }
            }
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
        match cursor {
            Some(cursor) if !cursor.is_behind(entry) => {}
            // Fewer than are told at once: they wait for more.
            Some(cursor) if !self.is_full(cursor.unsent(entry)) => {
                desk.events.touch(&entry.id, flush_at, flush_at);
            }
            Some(_) | None => desk.events.touch(&entry.id, now, flush_at),
        }
        if cursor.is_none_or(|cursor| cursor.is_untold(entry)) {
            desk.infos.touch(&entry.id, now, now);
        }
    }

    pub(super) fn is_full(&self, unsent: u64) -> bool {
        usize::try_from(unsent).unwrap_or(usize::MAX) >= self.hook.event_buffer_size
    }

    pub(super) fn note_end(&self, desk: &mut Desk, key: &str, bytes: usize) {
        if self.endings.conversation(self.record_of(key)).is_some() {
            desk.ledger.put(self.record_of(key), key, bytes);
        }
        if self.endings.conversation(key).is_some() {
            let now = Instant::now();
            desk.ends.touch(&key.to_owned(), now, now);
        }
    }
}

impl Desk {
    /// `most`: bytes of ends.
    fn new(most: usize) -> Self {
        let (events, infos, ends) = (Lane::new(), Lane::new(), Lane::new());
        Self { events, infos, ends, ledger: Ledger::new(most), known: HashMap::new() }
    }

    fn next(&self) -> Option<Instant> {
        [self.events.next(), self.infos.next(), self.ends.next()].into_iter().flatten().min()
    }

    fn known_of(&self, id: &ConversationId) -> Option<(Arc<str>, Known)> {
        self.known.get(id).cloned()
    }

    fn learn(&mut self, entry: &ConversationState, known: Known) {
        let made_at = entry.created_at();
        let before = self.known.get(&entry.id).filter(|(before, _)| *before == made_at);
        let known = before.map_or(known.clone(), |(_, before)| before.clone().and(known));
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
