//! Reading and writing conversation records in their bucket, with the index kept in line.

use std::sync::Arc;
use std::time::Duration;

use ports::{Error, Expect, KvEntry, LogId};
use serde::Deserialize;
use serde_json::value::RawValue;
use types::conversation::ConversationRecord;
use types::{BashScope, ConversationId, TenantId};

use super::conversation::ConversationState;
use super::{CONVERSATIONS, Index, PROJECTIONS};

/// How often a write that lost against another is tried again.
const ATTEMPTS: usize = 8;

/// Between two looks at whether a deletion is done.
const DELETING: Duration = Duration::from_millis(100);

/// What came of a wish to create.
pub enum Created {
    New(Arc<ConversationState>),
    Existing(Arc<ConversationState>),
}

impl Index {
    /// Stores `record` (secrets sealed) unless its id is taken.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn create(&self, record: &ConversationRecord) -> ports::Result<Created> {
        let key = record.id.hex();
        let value = encode(record)?;
        for _ in 0..ATTEMPTS {
            if self.directory().is_hidden(record.id) {
                tokio::time::sleep(DELETING).await;
                continue;
            }
            match self.0.ports.kv.put(CONVERSATIONS, &key, value.clone(), Expect::Absent).await {
                Ok(revision) => {
                    let stored = KvEntry { revision, value };
                    return Ok(Created::New(self.adopt(&stored).await?));
                }
                Err(Error::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
            if let Some(entry) = self.any(record.id) {
                return Ok(Created::Existing(entry));
            }
            if let Some(stored) = self.0.ports.kv.get(CONVERSATIONS, &key).await? {
                return Ok(Created::Existing(self.adopt(&stored).await?));
            }
        }
        Err(Error::Unavailable("the conversation comes and goes".to_owned()))
    }

    /// The whole record as stored: secrets sealed.
    ///
    /// # Errors
    /// Those of the store; a missing record is `None`.
    pub async fn read(&self, id: ConversationId) -> ports::Result<Option<ConversationRecord>> {
        let stored = self.0.ports.kv.get(CONVERSATIONS, &id.hex()).await?;
        stored.map(|stored| decode_whole(&stored.value)).transpose()
    }

    /// Changes the stored record; `change` says whether there is anything to write, and is called again when
    /// somebody else wrote first.
    ///
    /// # Errors
    /// `NotFound` without a record; those of the store.
    pub async fn update(
        &self,
        id: ConversationId,
        mut change: impl FnMut(&mut ConversationRecord) -> bool,
    ) -> ports::Result<()> {
        let key = id.hex();
        for _ in 0..ATTEMPTS {
            let stored = self.0.ports.kv.get(CONVERSATIONS, &key).await?.ok_or(Error::NotFound)?;
            let mut record = decode_whole(&stored.value)?;
            if !change(&mut record) {
                return Ok(());
            }
            let value = encode(&record)?;
            let expect = Expect::Revision(stored.revision);
            match self.0.ports.kv.put(CONVERSATIONS, &key, value.clone(), expect).await {
                Ok(revision) => {
                    self.adopt(&KvEntry { revision, value }).await?;
                    return Ok(());
                }
                Err(Error::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::Unavailable("the conversation is changed too often".to_owned()))
    }

    /// Deletes a conversation of `tenant`, after `forget` has made its worker forget it. It is not shown any more from
    /// the beginning on, unless deleting fails. Whether there was one.
    ///
    /// # Errors
    /// That of `forget`; those of the store. What is left can be deleted again.
    pub async fn delete<E: From<Error>>(
        &self,
        tenant: &TenantId,
        id: ConversationId,
        forget: impl AsyncFnOnce(&ConversationState) -> Result<(), E>,
    ) -> Result<bool, E> {
        let Some(entry) = self.directory_mut().hide(tenant, id) else { return Ok(false) };
        let outcome = match forget(&entry).await {
            Ok(()) => self.delete_stored(&entry).await.map_err(E::from),
            Err(error) => Err(error),
        };
        let mut directory = self.directory_mut();
        directory.unhide(id);
        if outcome.is_err() {
            directory.insert(entry);
        }
        outcome.map(|()| true)
    }

    async fn delete_stored(&self, entry: &ConversationState) -> ports::Result<()> {
        let key = entry.id.hex();
        let commands = LogId::bash(entry.log.sandbox(), BashScope::Conversation(entry.id));
        tokio::try_join!(self.0.ports.log.delete(&entry.log), self.0.ports.log.delete(&commands))?;
        self.0.ports.kv.delete(CONVERSATIONS, &key, Expect::Anything).await?;
        if let Err(error) = self.0.ports.kv.delete(PROJECTIONS, &key, Expect::Anything).await {
            tracing::warn!(conversation.id = %entry.id, %error, "a stored projection is left behind");
        }
        Ok(())
    }

    /// Takes in a stored record: a new conversation, or a newer record of a known one.
    pub(super) async fn adopt(&self, stored: &KvEntry) -> ports::Result<Arc<ConversationState>> {
        let (record, agent) = decode(&stored.value)?;
        if let Some(entry) = self.any(record.id) {
            if entry.is_of(&record) || entry.state().revision >= stored.revision {
                entry.replace_record(record, agent, stored.revision);
                return Ok(entry);
            }
            self.drop_if_same(Some(&entry));
        }
        let entry = Arc::new(ConversationState::new(
            record,
            agent,
            stored.revision,
            types::conversation::Projection::default(),
        ));
        self.catch_up(&entry).await?;
        Ok(self.directory_mut().insert(entry))
    }
}

fn encode(record: &ConversationRecord) -> ports::Result<bytes::Bytes> {
    serde_json::to_vec(record).map(Into::into).map_err(|error| Error::Internal(error.to_string()))
}

fn decode_whole(value: &[u8]) -> ports::Result<ConversationRecord> {
    serde_json::from_slice(value).map_err(|error| Error::Internal(format!("a record: {error}")))
}

/// The record without its agent object, and that as text: it is by far the larger part and rarely read.
pub(super) fn decode(value: &[u8]) -> ports::Result<(ConversationRecord, Box<RawValue>)> {
    #[derive(Deserialize)]
    struct Only<'a> {
        #[serde(borrow)]
        agent: &'a RawValue,
    }
    let damaged = |error: serde_json::Error| Error::Internal(format!("a record: {error}"));
    let agent = serde_json::from_slice::<Only<'_>>(value).map_err(damaged)?.agent;
    let start = agent.get().as_ptr() as usize - value.as_ptr() as usize;
    let before = value.get(..start).unwrap_or_default();
    let after = value.get(start + agent.get().len()..).unwrap_or_default();
    let record = serde_json::from_slice(&[before, b"null", after].concat()).map_err(damaged)?;
    Ok((record, agent.to_owned()))
}
