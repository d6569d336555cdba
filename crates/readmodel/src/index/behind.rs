//! Conversations that are known to be behind the store: each is brought in line by a task of its own, beside the tasks
//! that fold what is fresh.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use ports::Error;
use ports::retry::Backoff;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;
use types::{ConversationId, LogId};

use super::conversation::ConversationState;
use super::follow::PARALLEL_READS;
use super::records::Sighting;
use super::{CONVERSATIONS, Index};
use crate::vital::contained;

const PAUSES: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));

/// What a small answer may take before others have the turn.
const MOMENT: Duration = Duration::from_secs(1);

/// What of a conversation is to be read again.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Wish {
    record: bool,
    log: bool,
}

impl Wish {
    pub(super) const RECORD: Self = Self { record: true, log: false };
    pub(super) const LOG: Self = Self { record: false, log: true };
    pub(super) const ALL: Self = Self { record: true, log: true };
}

/// What is wished for of the conversations that have a task, beyond what that is doing.
pub(super) struct Behind {
    wishes: Mutex<HashMap<ConversationId, Wish>>,
    reading: Semaphore,
    /// Apart from it: who looks for what may have been missed looks at everything.
    looking: Semaphore,
}

impl Default for Behind {
    fn default() -> Self {
        let [reading, looking] = [PARALLEL_READS; 2].map(Semaphore::new);
        Self { wishes: Mutex::default(), reading, looking }
    }
}

impl Behind {
    /// Whether there is no task for it yet.
    fn add(&self, id: ConversationId, more: Wish) -> bool {
        match self.wishes.lock().entry(id) {
            Entry::Occupied(mut wish) => {
                let Wish { record, log } = *wish.get();
                wish.insert(Wish { record: record || more.record, log: log || more.log });
                false
            }
            Entry::Vacant(wish) => {
                wish.insert(more);
                true
            }
        }
    }

    /// What is to be done next; `None` when there is nothing, and then the conversation has no task any more.
    fn take(&self, id: ConversationId) -> Option<Wish> {
        let mut wishes = self.wishes.lock();
        let wish = wishes.get_mut(&id).map(std::mem::take).filter(|wish| *wish != Wish::default());
        if wish.is_none() {
            wishes.remove(&id);
        }
        wish
    }

    /// To be had before the store is asked for anything.
    pub(super) async fn turn(&self) -> Turn<'_> {
        Turn { _permit: self.reading.acquire().await.ok() }
    }

    /// The same for who was told of nothing.
    pub(super) async fn turn_to_look(&self) -> Turn<'_> {
        Turn { _permit: self.looking.acquire().await.ok() }
    }
}

/// One of those who ask the store now, until it is dropped.
pub(super) struct Turn<'a> {
    _permit: Option<SemaphorePermit<'a>>,
}

impl Turn<'_> {
    /// Waits for something small. One part of the store may be away alone, and say so only after a long time: then others have
    /// the turn meanwhile.
    pub(super) async fn briefly<T>(self, answer: impl Future<Output = T>) -> T {
        let mut answer = pin!(answer);
        if let Ok(answer) = timeout(MOMENT, &mut answer).await {
            return answer;
        }
        drop(self);
        answer.await
    }
}

impl Index {
    /// Has a conversation brought in line with the store, now or after what is being read of it already.
    pub(super) fn bring_in_line(&self, id: ConversationId, wish: Wish) {
        if !self.0.behind.add(id, wish) {
            return;
        }
        let index = self.clone();
        self.spawn(async move {
            while let Some(wish) = index.0.behind.take(id) {
                contained("reading a conversation again", index.read_again(id, wish)).await;
            }
        });
    }

    /// A store that is away is waited for: nobody may tell of what was missed a second time.
    async fn read_again(&self, id: ConversationId, mut wish: Wish) {
        let mut pauses = PAUSES;
        loop {
            match self.read_on(id, &mut wish).await {
                Ok(()) => return,
                Err(Error::Unavailable(_)) => tokio::time::sleep(pauses.pause()).await,
                Err(error) => {
                    tracing::warn!(conversation.id = %id, %error, "a conversation cannot be brought in line with the store");
                    return;
                }
            }
        }
    }

    async fn read_on(&self, id: ConversationId, wish: &mut Wish) -> ports::Result<()> {
        if wish.record {
            self.refresh(id).await?;
            wish.record = false;
        }
        let Some(entry) = self.any(id).filter(|_| wish.log) else { return Ok(()) };
        let log = self.0.ports.log.as_ref();
        let read = async {
            let end = self.0.behind.turn().await.briefly(log.tail(&entry.log)).await?;
            let mut is_there = false;
            while !is_there {
                // A page a turn: one that grows as fast as it is read keeps no other waiting.
                let _turn = self.0.behind.turn().await;
                is_there = entry.followed.read_on(log, end).await?;
            }
            Ok(())
        };
        let outcome = read.await;
        self.directory_mut().reorder(&entry);
        outcome
    }

    /// Brings the record of a conversation in line with the bucket.
    pub(super) async fn refresh(&self, id: ConversationId) -> ports::Result<()> {
        let behind = &self.0.behind;
        let turn = behind.turn().await;
        let before = self.any(id);
        let stored = turn.briefly(self.0.ports.kv.get(CONVERSATIONS, &id.hex())).await?;
        let Some(stored) = stored else {
            self.drop_if_same(before.as_ref());
            return Ok(());
        };
        let seen = Sighting::read(&stored)?;
        if !before.is_some_and(|known| known.is_of(&seen.record)) {
            // It is read before it is shown; but whose log does not answer has no turn for that.
            let log = LogId::conversation(&seen.record.sandbox, id);
            behind.turn().await.briefly(self.0.ports.log.tail(&log)).await?;
        }
        let _turn = behind.turn().await;
        self.adopt(seen).await.map(drop)
    }

    /// Reads the log of a conversation that is not in the index yet.
    pub(super) async fn catch_up_or_log(&self, entry: &Arc<ConversationState>) {
        if let Err(error) = self.catch_up(entry).await {
            tracing::warn!(conversation.id = %entry.id, %error, "a log cannot be followed");
        }
    }
}
