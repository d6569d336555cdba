//! What webhooks are still to be told of conversations that are deleted: the events that were not delivered yet, then that
//! it goes. Who deletes one puts that aside before the log goes; the gateway that delivers takes it from there.
//!
//! The events lie in pieces of one call each, the record that names them is written last. What a deletion that was cut off
//! has left is found with the conversation still there, and goes.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use ports::{Bucket, Error, EventLog, Expect, Kv, LARGEST, Result};
use readmodel::index::ConversationState;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use types::ConversationId;
use types::buckets::{WEBHOOK_ENDS, WEBHOOKS};

use super::batch::{self, Bounds};
use super::cursor::{self, Cursors, conversation_of};
use super::hook::{Hook, HookId};
use super::told;

/// What is left for the names of a store around a piece.
const MARGIN: usize = 4 << 10;

/// What is to be told of a conversation that is deleted.
#[derive(Serialize, Deserialize)]
pub(super) struct Ending {
    /// So many calls with events, and then the conversation itself.
    pieces: usize,
    pub info: Value,
    /// Of the record: tells the conversation from another one with its id.
    created_at: String,
}

impl Ending {
    pub fn pieces(&self) -> impl Iterator<Item = usize> + use<> {
        0..self.pieces
    }

    /// Whether it is the end of this conversation.
    pub fn is_of(&self, created_at: &str) -> bool {
        self.created_at == created_at
    }
}

/// The ends that a hook is to be told. Cheap to clone.
#[derive(Clone)]
pub(super) struct Endings {
    pub kv: Arc<dyn Kv>,
    pub hook: HookId,
}

impl Endings {
    /// Puts aside what `hook` is still to be told of a conversation.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn put(
        &self,
        hook: &Hook,
        cursors: &Cursors,
        log: &dyn EventLog,
        entry: &ConversationState,
        path: &Path,
    ) -> Result<()> {
        let key = cursor::key(&self.hook, entry);
        let cursor = cursors.known(entry).await?.cursor;
        let bounds = Bounds {
            events: hook.event_buffer_size,
            bytes: hook.max_batch_bytes.min(LARGEST.saturating_sub(MARGIN)),
        };
        let (mut at, mut pieces, mut events, mut bytes) = ((cursor.at, cursor.events), 0, 0, 0);
        loop {
            let batch = batch::next(log, &entry.log, at, bounds, None).await?;
            events += batch.count;
            bytes += batch.body.len();
            if batch.count == 0 {
                break;
            }
            if events > hook.max_queue_size || bytes > hook.max_queue_bytes {
                tracing::warn!(conversation.id = %entry.id, hook = self.hook.0,
                    "a conversation is deleted with more events than are kept for its webhook");
                break;
            }
            match self.kv.put(WEBHOOK_ENDS, &piece(&key, pieces), batch.body, Expect::Anything).await {
                Ok(_) => pieces += 1,
                Err(Error::TooLarge(_)) => {
                    tracing::warn!(conversation.id = %entry.id, hook = self.hook.0,
                        "an event of a conversation that is deleted is too large to be kept for its webhook");
                }
                Err(error) => return Err(error),
            }
            at = (batch.at, batch.events);
        }
        let info = told::end(entry, path).map_err(|error| Error::Internal(error.to_string()))?;
        let created_at = entry.created_at().to_string();
        let ending = Ending { pieces, info, created_at };
        self.bucket().put(&key, &ending, Expect::Anything).await.map(drop)
    }

    /// # Errors
    /// Those of the store.
    pub async fn get(&self, key: &str) -> Result<Option<Ending>> {
        Ok(self.bucket().get(key).await?.map(|stored| stored.value))
    }

    /// # Errors
    /// Those of the store.
    pub async fn piece(&self, key: &str, number: usize) -> Result<Option<Bytes>> {
        Ok(self.kv.get(WEBHOOK_ENDS, &piece(key, number)).await?.map(|stored| stored.value))
    }

    /// # Errors
    /// Those of the store.
    pub async fn remove_piece(&self, key: &str, number: usize) -> Result<()> {
        self.kv.delete(WEBHOOK_ENDS, &piece(key, number), Expect::Anything).await
    }

    /// All is told, or nothing is to be: the record goes last. With `cursor`: that of the conversation, too.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn remove(&self, key: &str, ending: &Ending, with_cursor: bool) -> Result<()> {
        for number in ending.pieces() {
            self.remove_piece(key, number).await?;
        }
        if with_cursor {
            self.kv.delete(WEBHOOKS, key, Expect::Anything).await?;
        }
        self.kv.delete(WEBHOOK_ENDS, key, Expect::Anything).await
    }

    /// The conversation of a record that names an end for this hook; `None` for pieces and for what is another's.
    pub fn conversation(&self, key: &str) -> Option<ConversationId> {
        let is_record = key.split('.').count() == 3;
        conversation_of(&self.hook, key).filter(|_| is_record)
    }

    /// Of a piece for this hook, the conversation and the record that names it.
    pub fn record_of_piece<'a>(&self, key: &'a str) -> Option<(ConversationId, &'a str)> {
        let (record, _) = key.rsplit_once('.')?;
        Some((self.conversation(record)?, record))
    }

    fn bucket(&self) -> Bucket<'_, Ending> {
        Bucket::new(self.kv.as_ref(), WEBHOOK_ENDS)
    }
}

fn piece(key: &str, number: usize) -> String {
    format!("{key}.{number}")
}
