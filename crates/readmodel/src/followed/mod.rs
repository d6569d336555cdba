//! One log, followed: what its records come to, kept up with the log however they arrive.
//!
//! A [`FollowedLog`] is the passive half of a follower. It holds what the records up to a position come to (the
//! [`Fold`]), that position, and on demand the newest records themselves (the tape). Whoever follows brings records, from
//! the bus or from the store, in any order and as often as it likes:
//!
//! ```text
//!                      prev is where we are
//!    ┌────────────┐ ─────────────────────────▶ New:   folded, taped, announced
//!    │ at: Seq    │  seq is not beyond that
//!    │ generation │ ─────────────────────────▶ Known: passed over
//!    └────────────┘  the same, and there is no prev
//!                   ─────────────────────────▶ First: known, or the first of a log made anew
//!                    else something is missing
//!                   ─────────────────────────▶ Gap:   read the store
//! ```
//!
//! So what is published may be lost, late, or doubled, and what is folded is the log all the same, in its order and each
//! record once: the position before is part of every published record, and where it is not the one that is known the
//! follower does not guess, but reads. [`FollowedLog::catch_up`] reads to where the log ended when it began. It may run beside
//! live records, and beside itself; who comes second finds the records known.
//!
//! The follower's order is always the same: listen first, then catch up, then take what was heard. A record that is stored
//! in between is in the page or among what was heard, or in both.
//!
//! **Cleared logs.** A log may be removed and made anew, and on files its positions begin again. Then it ends before
//! what is known; [`FollowedLog::catch_up_or_begin_anew`] looks for that, begins at the beginning, and counts one
//! generation more, so that who waits for a position of the former life does not wait for ever. A log that lost only its
//! front keeps its positions, and nothing happens here.
//!
//! **Who owns what.** There is one of these a log in each process, however many look at it: [`Watchers`](watch) are
//! woken by the [`Mark`], which is announced under the lock, so that who finds a record folded finds it announced. Each of
//! them has a position of its own and asks for what is [after](FollowedLog::after) it: from the tape while somebody has
//! it run, else from the store, and never more than is folded. The driving half belongs to whoever follows: the index
//! folds all conversations from one subscription, the bash logs have a subscription each while somebody uses them.
//!
//! It ends by being dropped. Nothing here runs, sleeps or holds a lock over an await.

mod tape;

use std::ops::{Deref, DerefMut};

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use ports::log::Pages;
use ports::{EventLog, Message, Result, Stored};
use tokio::sync::watch;
use types::{LogId, Seq};

use tape::Tape;
pub use tape::Taped;

/// Records a step of reading asks for; the store may answer with fewer.
const PAGE: usize = 256;

/// What the records of a log come to.
pub trait Fold: Send {
    /// What a new record did.
    type News;

    /// The last record that is in it.
    fn at(&self) -> Seq;

    /// Takes the record after that one; `prev` is [`Fold::at`].
    fn take(&mut self, prev: Seq, seq: Seq, payload: &Bytes) -> Self::News;

    /// Back to before the first record.
    fn restart(&mut self);
}

/// How far a log was followed, and in which of its lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// One more each time the log began anew.
    pub generation: u64,
    pub at: Seq,
}

/// What became of one record.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken<N> {
    Known,
    /// A first record although there were some: it is known, or the log was removed and made anew.
    First,
    /// Records before it are missing: catch up.
    Gap,
    New(N),
}

pub struct FollowedLog<F> {
    log: LogId,
    state: Mutex<State<F>>,
    mark: watch::Sender<Mark>,
}

struct State<F> {
    fold: F,
    generation: u64,
    tape: Tape,
}

impl<F: Fold> FollowedLog<F> {
    pub fn new(log: LogId, fold: F) -> Self {
        let state = State { fold, generation: 0, tape: Tape::default() };
        let mark = watch::Sender::new(state.mark());
        Self { log, state: Mutex::new(state), mark }
    }

    pub fn mark(&self) -> Mark {
        *self.mark.borrow()
    }

    /// Tells of records folded in from now on.
    pub fn watch(&self) -> watch::Receiver<Mark> {
        self.mark.subscribe()
    }

    /// What the records come to. Must not be held over an await.
    pub fn fold(&self) -> Folded<'_, F> {
        Folded(self.state.lock())
    }

    /// Takes a published record.
    pub fn take_message(&self, message: &Message) -> Taken<F::News> {
        match serde_json::from_slice::<Stored>(&message.parcel.json) {
            Ok(stored) => self.take(stored.prev, stored.seq, &message.parcel.blob),
            // It tells at least that there is something.
            Err(_) => Taken::Gap,
        }
    }

    /// Takes one record; `prev` is the position before it.
    pub fn take(&self, prev: Seq, seq: Seq, payload: &Bytes) -> Taken<F::News> {
        self.take_in(&mut self.state.lock(), prev, seq, payload)
    }

    /// The log was removed: what comes is a new one.
    pub fn restart(&self) {
        self.restart_unless(|_| false);
    }

    /// Reads what is not known yet of all that is stored by now. What comes meanwhile is not waited for: a log that grows
    /// as fast as it is read has no end.
    ///
    /// # Errors
    /// Those of the store. What was read before is folded in.
    pub async fn catch_up(&self, store: &dyn EventLog) -> Result<()> {
        let end = store.tail(&self.log).await?;
        while !self.read_on(store, end).await? {}
        Ok(())
    }

    /// Reads a page. Whether all up to `end` is known then, or there is no more.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn read_on(&self, store: &dyn EventLog, end: Seq) -> Result<bool> {
        let before = self.mark();
        if before.at >= end {
            return Ok(true);
        }
        let mut pages = Pages::new(store, &self.log, before.at, PAGE);
        let Some(page) = pages.next().await? else { return Ok(true) };
        let mut prev = before.at;
        for record in page {
            let mut state = self.state.lock();
            // Of a log that was removed meanwhile these are no records any more.
            if state.generation == before.generation {
                self.take_in(&mut state, prev, record.seq, &record.payload);
            }
            prev = record.seq;
        }
        Ok(self.mark().at >= end)
    }

    /// As [`FollowedLog::catch_up`], of a log that may have been removed and made anew.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn catch_up_or_begin_anew(&self, store: &dyn EventLog) -> Result<()> {
        let end = self.end(store).await?.at;
        while !self.read_on(store, end).await? {}
        Ok(())
    }

    /// Where the log ends, and in which of its lives. One that ends before what is known is a new one, and begins at its
    /// beginning.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn end(&self, store: &dyn EventLog) -> Result<Mark> {
        // What is folded while the store is asked may be beyond its answer.
        let before = self.mark();
        let at = store.tail(&self.log).await?;
        if at >= before.at {
            return Ok(Mark { at, ..before });
        }
        self.restart_unless(|mark| mark.generation != before.generation);
        Ok(Mark { at, ..self.mark() })
    }

    /// Begins to keep the newest records at hand, until [`FollowedLog::stop_tape`] was called as often as this.
    pub fn start_tape(&self) -> Seq {
        let mut state = self.state.lock();
        state.tape.start();
        state.fold.at()
    }

    pub fn stop_tape(&self) {
        self.state.lock().tape.stop();
    }

    /// The records after `at` that are at hand or else read, as far as they are folded in; none when there are none.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn after(&self, store: &dyn EventLog, at: Seq, limit: usize) -> Result<Vec<Taped>> {
        let until = {
            let state = self.state.lock();
            if at >= state.fold.at() {
                return Ok(Vec::new());
            }
            if let Some(taped) = state.tape.after(at) {
                return Ok(taped);
            }
            state.fold.at()
        };
        let page = store.read(&self.log, at, limit).await?;
        let mut prev = at;
        let folded = page.into_iter().take_while(|record| record.seq <= until);
        let taped = folded.map(|record| Taped {
            prev: std::mem::replace(&mut prev, record.seq),
            seq: record.seq,
            payload: record.payload,
        });
        Ok(taped.collect())
    }

    fn take_in(&self, state: &mut State<F>, prev: Seq, seq: Seq, payload: &Bytes) -> Taken<F::News> {
        let at = state.fold.at();
        if seq <= at {
            return if prev == Seq::ZERO { Taken::First } else { Taken::Known };
        }
        if prev != at {
            return Taken::Gap;
        }
        let news = state.fold.take(prev, seq, payload);
        state.tape.keep(Taped { prev, seq, payload: payload.clone() });
        // Under the lock: who finds a record known finds it announced, and announcements keep their order.
        self.mark.send_replace(state.mark());
        Taken::New(news)
    }

    fn restart_unless(&self, is_over: impl FnOnce(Mark) -> bool) {
        let mut state = self.state.lock();
        if is_over(state.mark()) {
            return;
        }
        state.fold.restart();
        state.tape.clear();
        state.generation += 1;
        self.mark.send_replace(state.mark());
    }
}

impl<F: Fold> State<F> {
    fn mark(&self) -> Mark {
        Mark { generation: self.generation, at: self.fold.at() }
    }
}

/// What the records of a log come to, while it is looked at.
pub struct Folded<'a, F>(MutexGuard<'a, State<F>>);

impl<F: Fold> Folded<'_, F> {
    /// How far they go.
    pub fn mark(&self) -> Mark {
        self.0.mark()
    }
}

impl<F> Deref for Folded<'_, F> {
    type Target = F;

    fn deref(&self) -> &F {
        &self.0.fold
    }
}

impl<F> DerefMut for Folded<'_, F> {
    fn deref_mut(&mut self) -> &mut F {
        &mut self.0.fold
    }
}

#[cfg(test)]
mod tests;
