//! Transactions on their way to the committer.

use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use ports::{Error, Result};
use tokio::sync::Semaphore;

use super::Transaction;

/// What may wait at once: 64 MiB, counted in KiB.
const ROOM_KIB: u32 = 64 << 10;

/// Transactions on their way to the committer.
pub struct Queue {
    room: Semaphore,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    waiting: Vec<Box<dyn Transaction>>,
    ended: Option<End>,
}

/// How the store ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Everything is made durable and the journal is emptied.
    Closed,
    /// The journal stays as it is; the next start reads it.
    Abandoned,
}

pub enum Taken {
    Batch(Vec<Box<dyn Transaction>>),
    /// The wait was over first.
    Nothing,
    Ended(End),
}

impl Queue {
    pub fn new() -> Self {
        Self {
            room: Semaphore::new(ROOM_KIB as usize),
            state: Mutex::new(State { waiting: Vec::new(), ended: None }),
            changed: Condvar::new(),
        }
    }

    /// Waits for room. Once this returns the transaction runs, even if nobody waits for its answer.
    pub async fn submit(&self, transaction: Box<dyn Transaction>) -> Result<()> {
        let room = self.room.acquire_many(weight(&*transaction)).await.map_err(|_| closed())?;
        let mut state = self.state.lock();
        if state.ended.is_some() {
            return Err(closed());
        }
        room.forget();
        state.waiting.push(transaction);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// All that wait; waits up to `patience` for the first one, or without end.
    pub fn take(&self, patience: Option<Duration>) -> Taken {
        let until = patience.map(|patience| Instant::now() + patience);
        let mut state = self.state.lock();
        loop {
            if !state.waiting.is_empty() {
                let batch = std::mem::take(&mut state.waiting);
                drop(state);
                self.room.add_permits(batch.iter().map(|one| weight(&**one) as usize).sum());
                return Taken::Batch(batch);
            }
            if let Some(end) = state.ended {
                return Taken::Ended(end);
            }
            let Some(until) = until else {
                self.changed.wait(&mut state);
                continue;
            };
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Taken::Nothing;
            }
            self.changed.wait_for(&mut state, left);
        }
    }

    /// Takes nothing more in. What waits is still done.
    pub fn end(&self, end: End) {
        self.state.lock().ended.get_or_insert(end);
        self.room.close();
        self.changed.notify_one();
    }
}

pub fn closed() -> Error {
    Error::Unavailable("the store is closed".to_owned())
}

fn weight(transaction: &dyn Transaction) -> u32 {
    let kib = u32::try_from(transaction.bytes() >> 10).unwrap_or(ROOM_KIB);
    kib.saturating_add(1).min(ROOM_KIB)
}
