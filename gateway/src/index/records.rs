//! Reading and writing conversation records in their bucket, with the index kept in line.

use std::sync::Arc;

use ports::{Error, Expect, KvEntry};
use serde::Deserialize;
use serde_json::value::RawValue;
use types::ConversationId;
use types::conversation::Record;

use super::entry::Entry;
use super::{CONVERSATIONS, Index, PROJECTIONS};

/// How often a write that lost against another is tried again.
const ATTEMPTS: usize = 8;

/// What came of a wish to create.
pub enum Created {
    New(Arc<Entry>),
    Existing(Arc<Entry>),
}

impl Index {
    /// Stores `record` (secrets sealed) unless its id is taken.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn create(&self, record: &Record) -> ports::Result<Created> {
        let key = record.id.hex();
        let value = encode(record)?;
        for _ in 0..ATTEMPTS {
            match self.0.ports.kv.put(CONVERSATIONS, &key, value.clone(), Expect::Absent).await {
                Ok(revision) => {
                    let stored = KvEntry { revision, value };
                    return Ok(Created::New(self.adopt(&stored).await?));
                }
                Err(Error::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
            if let Some(entry) = self.get(record.id) {
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
    pub async fn read(&self, id: ConversationId) -> ports::Result<Option<Record>> {
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
        mut change: impl FnMut(&mut Record) -> bool,
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

    /// Hides a conversation at once, before it is deleted.
    #[must_use]
    pub fn hide(&self, id: ConversationId) -> Option<Arc<Entry>> {
        self.directory_mut().remove(id)
    }

    /// Shows a hidden one again, for its deletion failed.
    pub fn unhide(&self, entry: Arc<Entry>) {
        self.directory_mut().insert(entry);
    }

    /// Deletes the log and the record of a hidden conversation.
    ///
    /// # Errors
    /// Those of the store; what is left can be deleted again.
    pub async fn delete(&self, entry: &Entry) -> ports::Result<()> {
        let key = entry.id.hex();
        self.0.ports.log.delete(&entry.log).await?;
        self.0.ports.kv.delete(CONVERSATIONS, &key, Expect::Anything).await?;
        if let Err(error) = self.0.ports.kv.delete(PROJECTIONS, &key, Expect::Anything).await {
            tracing::warn!(conversation.id = %entry.id, %error, "a stored projection is left behind");
        }
        Ok(())
    }

    /// Takes in a stored record: a new conversation, or a newer record of a known one.
    pub(super) async fn adopt(&self, stored: &KvEntry) -> ports::Result<Arc<Entry>> {
        let (record, agent) = decode(&stored.value)?;
        if let Some(entry) = self.get(record.id) {
            entry.replace_record(record, agent, stored.revision);
            return Ok(entry);
        }
        let entry =
            Arc::new(Entry::new(record, agent, stored.revision, types::conversation::Projection::default()));
        self.catch_up(&entry).await?;
        Ok(self.directory_mut().insert(entry))
    }
}

fn encode(record: &Record) -> ports::Result<bytes::Bytes> {
    serde_json::to_vec(record).map(Into::into).map_err(|error| Error::Internal(error.to_string()))
}

fn decode_whole(value: &[u8]) -> ports::Result<Record> {
    serde_json::from_slice(value).map_err(|error| Error::Internal(format!("a record: {error}")))
}

/// The record without its agent object, and that as text: it is by far the larger part and rarely read.
pub(super) fn decode(value: &[u8]) -> ports::Result<(Record, Box<RawValue>)> {
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
