//! One turn of a courier: what is read, called and stored for one conversation.

use std::time::Duration;

use bytes::Bytes;
use ports::{Error, Result, Versioned};
use readmodel::index::ConversationState;
use tokio::time::Instant;
use types::conversation::ConversationRecord;
use types::{ConversationId, LogId, Seq};

use super::batch::{self, Bounds};
use super::call::deliver;
use super::courier::Courier;
use super::cursor::{Cursor, Known, Told};
use super::ending::Ending;
use super::lane::{Ended, Turn};
use super::life::Life;
use super::told;

const DELETED: Duration = Duration::from_millis(200);
/// Until a conversation is told again that has changed while it was told, if nobody says that it has.
const CHANGED: Duration = Duration::from_secs(1);

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
        mut known: Option<Known>,
        turn: &Turn<ConversationId>,
        end: Option<&str>,
    ) -> (Ended, Option<Known>) {
        let told = match self.comes_first(end, entry).await {
            Ok(true) => Ok(Ended::Waits { due: Instant::now() + CHANGED }),
            Ok(false) => self.try_events(entry, &mut known, turn).await,
            Err(error) => Err(error.into()),
        };
        (told.unwrap_or_else(|trouble| self.ended_by(turn, trouble)), known)
    }

    /// Whether what was put aside is of another log than the present one: then it is older. Otherwise a conversation that is not
    /// deleted after all waits for nothing.
    async fn comes_first(&self, end: Option<&str>, entry: &ConversationState) -> Result<bool> {
        let Some(end) = end else { return Ok(false) };
        let stored = match self.endings.get(end).await {
            Ok(Some(stored)) => stored,
            // Of one that cannot be read nothing is told.
            Ok(None) | Err(Error::Internal(_)) => return Ok(false),
            Err(error) => return Err(error),
        };
        let (life, tail) = (Life::of(&*self.log, &entry.log).await?, self.log.tail(&entry.log).await?);
        Ok(stored.value.lost(&life, tail).is_some())
    }

    async fn try_events(
        &self,
        entry: &ConversationState,
        known: &mut Option<Known>,
        turn: &Turn<ConversationId>,
    ) -> std::result::Result<Ended, Trouble> {
        let cursor = self.known(entry, known).await?;
        let is_time = turn.flush_at <= Instant::now();
        if !cursor.is_behind(entry) {
            return Ok(Ended::Done { delivered: false });
        }
        if !is_time && !self.is_full(cursor.unsent(entry)) {
            let (due, flush_at) = (turn.flush_at, turn.flush_at);
            return Ok(Ended::Again { delivered: false, due, flush_at });
        }
        // Where they are not taken together, one by one: so the one is found that is not.
        let events = if turn.failures > self.hook.num_retries { 1 } else { self.hook.event_buffer_size };
        let bounds = Bounds { events, bytes: self.hook.max_batch_bytes };
        let Cursor { at, events, .. } = cursor;
        let first = (at == Seq::ZERO).then(|| told::snapshot(entry, &self.conversations_path));
        let batch = batch::next(&*self.log, &entry.log, (at, events), bounds, first.as_deref()).await?;
        let delivered = batch.count > 0;
        if delivered {
            self.call(&told::events_path(entry.id), batch.body).await?;
        } else if batch.at == at || at == Seq::ZERO {
            // The log has gone, or there is nothing yet that the whole state could go before.
            return Ok(Ended::Done { delivered });
        }
        self.move_on(entry, known, |cursor| cursor.deliver(batch.at, batch.events)).await?;
        let Some(Known { cursor, .. }) = known else { return Ok(Ended::Done { delivered }) };
        if !cursor.is_behind(entry) {
            return Ok(Ended::Done { delivered });
        }
        let now = Instant::now();
        let flush_at = if is_time { turn.flush_at } else { now + self.hook.flush_delay };
        let due = if is_time || self.is_full(cursor.unsent(entry)) { now } else { flush_at };
        Ok(Ended::Again { delivered, due, flush_at })
    }

    /// Tells of the conversation itself, if it has changed in a way that hooks are told of.
    pub(super) async fn tell_info(
        &self,
        entry: &ConversationState,
        mut known: Option<Known>,
        turn: &Turn<ConversationId>,
    ) -> (Ended, Option<Known>) {
        let told = self.try_info(entry, &mut known).await;
        (told.unwrap_or_else(|trouble| self.ended_by(turn, trouble)), known)
    }

    async fn try_info(
        &self,
        entry: &ConversationState,
        known: &mut Option<Known>,
    ) -> std::result::Result<Ended, Trouble> {
        let done = Ended::Done { delivered: false };
        if !self.known(entry, known).await?.is_untold(entry) {
            return Ok(done);
        }
        // Another gateway may have deleted it, and its end be told: after that nothing is.
        if !self.index.read(entry.id).await?.is_some_and(|record| entry.is_of(&record)) {
            return Ok(done);
        }
        // In this order: what is told is at least as new as what is noted of it.
        let now = Told::of(entry);
        let info = told::conversation(entry, &self.conversations_path, true);
        let info = info.map_err(|error| Error::Internal(error.to_string()))?;
        self.call(told::CONVERSATIONS, info.into()).await?;
        self.move_on(entry, known, |cursor| cursor.tell(&now)).await?;
        let is_untold = known.as_ref().is_some_and(|known| known.cursor.is_untold(entry));
        let (due, delivered) = (Instant::now() + CHANGED, true);
        Ok(match is_untold {
            true => Ended::Again { delivered, due, flush_at: due },
            false => Ended::Done { delivered },
        })
    }

    /// How far it was told, once the store knows as well: until it does, nothing more is told.
    async fn known(&self, entry: &ConversationState, known: &mut Option<Known>) -> Result<Cursor> {
        if known.as_ref().is_some_and(|known| known.is_owed) {
            self.move_on(entry, known, |_| {}).await?;
        }
        match known {
            Some(known) => Ok(known.cursor.clone()),
            None => Ok(known.insert(self.cursors.known(entry).await?).cursor.clone()),
        }
    }

    /// Moves the cursor on, and has the store note that. A store that does not is owed it: what was taken is not told again.
    async fn move_on(
        &self,
        entry: &ConversationState,
        known: &mut Option<Known>,
        change: impl Fn(&mut Cursor),
    ) -> Result<()> {
        let Some(owed) = known else { return Ok(()) };
        let owed_before = owed.is_owed.then(|| owed.cursor.clone());
        let believed = owed.clone();
        change(&mut owed.cursor);
        owed.is_owed = true;
        let stored = self.cursors.change(entry, &believed, |cursor| {
            if let Some(before) = &owed_before {
                cursor.take_over(before);
            }
            change(cursor);
        });
        *known = stored.await?;
        Ok(())
    }

    /// Tells what is left of a conversation that was deleted, and that it was.
    pub(super) async fn tell_end(&self, turn: &Turn<String>) -> Ended {
        self.try_end(turn).await.unwrap_or_else(|trouble| self.ended_by(turn, trouble))
    }

    async fn try_end(&self, turn: &Turn<String>) -> std::result::Result<Ended, Trouble> {
        let Some(id) = self.endings.conversation(&turn.key) else {
            return Ok(Ended::Done { delivered: false });
        };
        let stored = match self.endings.get(&turn.key).await {
            Err(Error::Internal(why)) if self.endings.remove_unreadable(&turn.key).await? => {
                tracing::warn!(hook = self.number, conversation.id = %id, why, "an end that cannot be read is given up");
                self.work.hook_gave_up();
                return Ok(Ended::Done { delivered: false });
            }
            stored => stored?,
        };
        let Some(stored) = stored else { return Ok(Ended::Done { delivered: false }) };
        let ending = &stored.value;
        if ending.is_too_old() {
            tracing::warn!(hook = self.number, conversation.id = %id, "an end that a webhook has never taken is given up");
            self.work.hook_gave_up();
            self.endings.remove(&turn.key, &stored, true).await?;
            return Ok(Ended::Done { delivered: false });
        }
        if let Some(record) = self.index.read(id).await?.filter(|record| ending.is_of(&record.created_at)) {
            return self.wait_for_deletion(turn, &stored, &record).await;
        }
        self.tell_pieces(&turn.key, id, ending.pieces()).await?;
        self.call(told::CONVERSATIONS, ending.info.to_string().into()).await?;
        // If somebody has put it aside again, that is told as well.
        self.endings.remove(&turn.key, &stored, true).await?;
        Ok(Ended::Done { delivered: true })
    }

    /// A piece that is not there was told.
    async fn tell_pieces(
        &self,
        key: &str,
        id: ConversationId,
        names: impl Iterator<Item = String>,
    ) -> std::result::Result<(), Trouble> {
        for name in names {
            let Some(events) = self.endings.piece(key, &name).await? else { continue };
            self.call(&told::events_path(id), events).await?;
            self.endings.remove_piece(key, &name).await?;
        }
        Ok(())
    }

    /// A deletion may fail, or be cut off: then the conversation is not told as one that went. If its log went already, what
    /// was put aside of it is all there is, also where the conversation has gone on since with another log.
    async fn wait_for_deletion(
        &self,
        turn: &Turn<String>,
        stored: &Versioned<Ending>,
        record: &ConversationRecord,
    ) -> std::result::Result<Ended, Trouble> {
        let now = Instant::now();
        if !self.waits.is_over(&turn.key, stored.revision, now) {
            return Ok(Ended::Waits { due: now + DELETED });
        }
        let log = LogId::conversation(&record.sandbox, record.id);
        let (life, tail) = (Life::of(&*self.log, &log).await?, self.log.tail(&log).await?);
        let Some(lost) = stored.value.lost(&life, tail) else {
            self.endings.remove(&turn.key, stored, false).await?;
            return Ok(Ended::Done { delivered: false });
        };
        let delivered = !lost.is_empty();
        self.tell_pieces(&turn.key, record.id, lost.into_iter()).await?;
        // What is written to such a log is told from its beginning.
        self.endings.remove(&turn.key, stored, true).await?;
        Ok(Ended::Done { delivered })
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
