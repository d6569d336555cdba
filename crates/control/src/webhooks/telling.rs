//! One turn of a courier: what is read, called and stored for one conversation.

use std::time::Duration;

use bytes::Bytes;
use ports::{Error, Result};
use readmodel::index::ConversationState;
use tokio::time::Instant;
use types::{ConversationId, Seq};

use super::batch::{self, Bounds};
use super::call::deliver;
use super::courier::Courier;
use super::cursor::{Cursor, Known, Told};
use super::ending::Ending;
use super::lane::{Ended, Turn};
use super::told;

/// A deletion that takes longer than this has failed, and the conversation stays.
const DELETING: Duration = Duration::from_secs(120);
const DELETED: Duration = Duration::from_millis(200);

/// Why a turn did not come to its end.
enum Trouble {
    Store(Error),
    Hook,
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl Courier {
    /// Tells the next events, if there are enough of them or they have waited long enough.
    pub(super) async fn tell_events(
        &self,
        entry: &ConversationState,
        known: Option<Known>,
        turn: &Turn<ConversationId>,
    ) -> (Ended, Option<Known>) {
        match self.try_events(entry, known, turn).await {
            Ok((ended, known)) => (ended, known),
            Err(trouble) => (self.ended_by(turn, trouble), None),
        }
    }

    async fn try_events(
        &self,
        entry: &ConversationState,
        known: Option<Known>,
        turn: &Turn<ConversationId>,
    ) -> std::result::Result<(Ended, Option<Known>), Trouble> {
        let known = self.known(entry, known).await?;
        let unsent = known.cursor.unsent(entry);
        let is_time = turn.flush_at <= Instant::now();
        if unsent == 0 {
            return Ok((Ended::Done { delivered: false }, Some(known)));
        }
        if !is_time && !self.is_full(unsent) {
            let (due, flush_at) = (turn.flush_at, turn.flush_at);
            return Ok((Ended::Again { delivered: false, due, flush_at }, Some(known)));
        }
        // Where they are not taken together, one by one: so the one is found that is not.
        let events = if turn.failures > self.hook.num_retries { 1 } else { self.hook.event_buffer_size };
        let bounds = Bounds { events, bytes: self.hook.max_batch_bytes };
        let Cursor { at, events, .. } = known.cursor;
        let first = (at == Seq::ZERO).then(|| told::snapshot(entry, &self.conversations_path));
        let batch = batch::next(&*self.log, &entry.log, (at, events), bounds, first.as_deref()).await?;
        if batch.count == 0 {
            // The log has gone, or its worker counts wrongly.
            return Ok((Ended::Done { delivered: false }, Some(known)));
        }
        self.call(&told::events_path(entry.id), batch.body).await?;
        let moved = self.cursors.change(entry, &known, |cursor| cursor.deliver(batch.at, batch.events));
        let Some(known) = moved.await? else { return Ok((Ended::Done { delivered: true }, None)) };
        let now = Instant::now();
        let flush_at = if is_time { turn.flush_at } else { now + self.hook.flush_delay };
        let unsent = known.cursor.unsent(entry);
        let due = if is_time || self.is_full(unsent) { now } else { flush_at };
        let ended = match unsent {
            0 => Ended::Done { delivered: true },
            _ => Ended::Again { delivered: true, due, flush_at },
        };
        Ok((ended, Some(known)))
    }

    /// Tells of the conversation itself, if it has changed in a way that hooks are told of.
    pub(super) async fn tell_info(
        &self,
        entry: &ConversationState,
        known: Option<Known>,
        turn: &Turn<ConversationId>,
    ) -> (Ended, Option<Known>) {
        match self.try_info(entry, known).await {
            Ok((ended, known)) => (ended, known),
            Err(trouble) => (self.ended_by(turn, trouble), None),
        }
    }

    async fn try_info(
        &self,
        entry: &ConversationState,
        known: Option<Known>,
    ) -> std::result::Result<(Ended, Option<Known>), Trouble> {
        let known = self.known(entry, known).await?;
        if !known.cursor.is_untold(entry) {
            return Ok((Ended::Done { delivered: false }, Some(known)));
        }
        // In this order: what is told is at least as new as what is noted of it.
        let now = Told::of(entry);
        let info = told::conversation(entry, &self.conversations_path, true);
        let info = info.map_err(|error| Error::Internal(error.to_string()))?;
        self.call(told::CONVERSATIONS, info.into()).await?;
        let known = self.cursors.change(entry, &known, |cursor| cursor.tell(&now)).await?;
        let is_untold = known.as_ref().is_some_and(|known| known.cursor.is_untold(entry));
        let (due, delivered) = (Instant::now(), true);
        let ended = match is_untold {
            true => Ended::Again { delivered, due, flush_at: due },
            false => Ended::Done { delivered },
        };
        Ok((ended, known))
    }

    /// Tells what is left of a conversation that was deleted, and that it was.
    pub(super) async fn tell_end(&self, turn: &Turn<String>) -> Ended {
        self.try_end(turn).await.unwrap_or_else(|trouble| self.ended_by(turn, trouble))
    }

    async fn try_end(&self, turn: &Turn<String>) -> std::result::Result<Ended, Trouble> {
        let Some(id) = self.endings.conversation(&turn.key) else {
            return Ok(Ended::Done { delivered: false });
        };
        let Some(ending) = self.endings.get(&turn.key).await? else {
            return Ok(Ended::Done { delivered: false });
        };
        if self.is_there(id, &ending).await? {
            return self.wait_for_deletion(turn, &ending).await;
        }
        for number in ending.pieces() {
            let Some(events) = self.endings.piece(&turn.key, number).await? else { continue };
            self.call(&told::events_path(id), events).await?;
            self.endings.remove_piece(&turn.key, number).await?;
        }
        self.call(told::CONVERSATIONS, ending.info.to_string().into()).await?;
        self.endings.remove(&turn.key, &ending, true).await?;
        Ok(Ended::Done { delivered: true })
    }

    /// A deletion may fail, or be cut off: then the conversation is not told as one that went.
    async fn wait_for_deletion(
        &self,
        turn: &Turn<String>,
        ending: &Ending,
    ) -> std::result::Result<Ended, Trouble> {
        let now = Instant::now();
        if now >= turn.flush_at + DELETING {
            self.endings.remove(&turn.key, ending, false).await?;
            return Ok(Ended::Done { delivered: false });
        }
        Ok(Ended::Again { delivered: false, due: now + DELETED, flush_at: turn.flush_at })
    }

    async fn is_there(&self, id: ConversationId, ending: &Ending) -> Result<bool> {
        Ok(self.index.read(id).await?.is_some_and(|record| ending.is_of(&record.created_at)))
    }

    async fn known(&self, entry: &ConversationState, known: Option<Known>) -> Result<Known> {
        match known {
            Some(known) => Ok(known),
            None => self.cursors.known(entry).await,
        }
    }

    async fn call(&self, path: &str, body: Bytes) -> std::result::Result<(), Trouble> {
        let delivered = deliver(&self.outbound, &self.hook, path, body).await;
        self.work.hook_called(delivered.is_ok());
        delivered.map_err(|why| {
            tracing::warn!(
                hook = self.number,
                path,
                why,
                "a webhook does not take what it is told, trying again"
            );
            Trouble::Hook
        })
    }

    fn ended_by<K>(&self, turn: &Turn<K>, trouble: Trouble) -> Ended {
        match trouble {
            Trouble::Hook => self.failed(turn),
            Trouble::Store(error) => {
                tracing::warn!(hook = self.number, %error, "what a webhook is to be told cannot be looked up, trying again");
                Ended::Stalled
            }
        }
    }
}
