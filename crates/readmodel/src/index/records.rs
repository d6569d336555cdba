//! Reading and writing conversation records in their bucket, with the index kept in line.

use std::sync::Arc;
use std::time::Duration;

use ports::mutants::{self, Mutant};
use ports::retry::{Backoff, while_unavailable};
use ports::{Bucket, Error, Expect, KvEntry, Versioned};
use serde::Deserialize;
use serde_json::value::RawValue;
use types::conversation::{ConversationRecord, Projection, Titling};
use types::log::LogRecord;
use types::{BashScope, ConversationId, LogId, Seq, TenantId};

use super::behind::Wish;
use super::conversation::ConversationState;
use super::{CONVERSATIONS, Index, PROJECTIONS};

/// How often a conversation that comes and goes is asked for.
const ATTEMPTS: usize = 8;

/// Between two looks at whether a deletion is done.
const DELETING: Duration = Duration::from_millis(100);

/// How long a store is waited for that is away when a worker has forgotten a conversation.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSES: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));

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
        let (records, key) = (self.records(), record.id.hex());
        for _ in 0..ATTEMPTS {
            if self.directory().is_hidden(record.id) {
                tokio::time::sleep(DELETING).await;
                continue;
            }
            if let Some(revision) = records.make(&key, record).await? {
                // The deletion of an earlier one may be about to end.
                while self.directory().is_hidden(record.id) {
                    tokio::time::sleep(DELETING).await;
                }
                let stored = Versioned { value: record.clone(), revision };
                return Ok(Created::New(self.take_in(Sighting::of(stored)?).await?));
            }
            // What is known here may have been deleted elsewhere.
            if let Some(stored) = records.get(&key).await? {
                return Ok(Created::Existing(self.take_in(Sighting::of(stored)?).await?));
            }
        }
        Err(Error::Unavailable("the conversation comes and goes".to_owned()))
    }

    /// A conversation of `tenant`; of what is not known here the store is asked, for another gateway may have made it a moment
    /// ago, and have told its client.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn find(
        &self,
        tenant: &TenantId,
        id: ConversationId,
    ) -> ports::Result<Option<Arc<ConversationState>>> {
        if let Some(entry) = self.any(id) {
            return Ok(Some(entry).filter(|entry| entry.tenant == *tenant));
        }
        if self.directory().is_hidden(id) {
            return Ok(None);
        }
        let Some(stored) = self.records().get(&id.hex()).await? else { return Ok(None) };
        self.take_in(Sighting::of(stored)?).await?;
        Ok(self.get(tenant, id))
    }

    /// A conversation of `tenant`, as the store has it: what is known here may have been deleted elsewhere.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn get_stored(
        &self,
        tenant: &TenantId,
        id: ConversationId,
    ) -> ports::Result<Option<Arc<ConversationState>>> {
        let Some(entry) = self.get(tenant, id) else { return Ok(None) };
        Ok(self.read(id).await?.is_some_and(|record| entry.is_of(&record)).then_some(entry))
    }

    /// The whole record as stored: secrets sealed.
    ///
    /// # Errors
    /// Those of the store; a missing record is `None`.
    pub async fn read(&self, id: ConversationId) -> ports::Result<Option<ConversationRecord>> {
        Ok(self.records().get(&id.hex()).await?.map(|stored| stored.value))
    }

    /// As [`Index::read`], behind all writes of this process that were begun before, those included that were given up: a store of
    /// one process may be slow, and make them all the same.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn read_in_turn(&self, id: ConversationId) -> ports::Result<Option<ConversationRecord>> {
        // Removes nothing: where there is a record it is no removal.
        match self.records().remove(&id.hex(), Expect::Absent).await? {
            true => Ok(None),
            false => self.read(id).await,
        }
    }

    /// Of the stored record, whichever it is.
    ///
    /// # Errors
    /// Those of the store; a missing record is `None`.
    pub async fn stored_revision(&self, id: ConversationId) -> ports::Result<Option<u64>> {
        Ok(self.0.ports.kv.get(CONVERSATIONS, &id.hex()).await?.map(|stored| stored.revision))
    }

    /// Changes the stored record of this conversation, and not of one that has its id after it; `change` says whether there is
    /// anything to write, and is called again when somebody else wrote first.
    ///
    /// # Errors
    /// `NotFound` without a record of it; those of the store.
    pub async fn update(
        &self,
        entry: &ConversationState,
        mut change: impl FnMut(&mut ConversationRecord) -> bool,
    ) -> ports::Result<()> {
        let mut is_there = false;
        let change = |record: &mut ConversationRecord| {
            is_there = entry.is_of(record);
            is_there && change(record)
        };
        self.update_any(entry.id, change).await?;
        if is_there { Ok(()) } else { Err(Error::NotFound) }
    }

    /// As [`Index::update`], for who looks himself whose record it is.
    ///
    /// # Errors
    /// `NotFound` without a record; those of the store.
    pub async fn update_any(
        &self,
        id: ConversationId,
        mut change: impl FnMut(&mut ConversationRecord) -> bool,
    ) -> ports::Result<()> {
        let mut is_changed = false;
        let change = |record: &mut Option<ConversationRecord>| {
            is_changed = record.as_mut().is_some_and(&mut change);
            is_changed
        };
        let stored = self.records().change(&id.hex(), change).await?.ok_or(Error::NotFound)?;
        if is_changed {
            self.take_in(Sighting::of(stored)?).await?;
        }
        Ok(())
    }

    /// Takes the record back of a conversation that was made a moment ago, and of which nobody has been told. Somebody else may
    /// have done so before, and have placed it anew: that stays.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn withdraw(&self, record: &ConversationRecord) -> ports::Result<()> {
        let own = |stored: &mut Option<ConversationRecord>| {
            stored.take_if(|stored| stored.is_same(record)).is_some()
        };
        self.records().change(&record.id.hex(), own).await.map(drop)
    }

    /// Deletes a conversation of `tenant`, after `forget` has made its worker forget it. It is not shown any more as soon
    /// as the store has answered, unless deleting fails or is given up. Whether there was one.
    ///
    /// # Errors
    /// That of `forget`; those of the store. What is left can be deleted again.
    pub async fn delete<E: From<Error>>(
        &self,
        tenant: &TenantId,
        id: ConversationId,
        forget: impl AsyncFnOnce(&ConversationState) -> Result<(), E>,
    ) -> Result<bool, E> {
        let Some(entry) = self.get(tenant, id) else { return Ok(false) };
        // A store that is away says so late: until that is known nothing is hidden and nothing forgotten.
        let is_there = || async { tokio::try_join!(self.read(id), self.0.ports.log.tail(&entry.log)) };
        while_unavailable(PAUSES, PATIENCE, is_there).await?;
        // Somebody else may have deleted it meanwhile, and another one have its id.
        let Some(entry) = self.directory_mut().hide(&entry) else { return Ok(false) };
        let mut hidden = Hidden { index: self, entry: &entry, is_gone: false };
        forget(&entry).await?;
        // Whoever was made to forget it answers for it no more.
        match self.delete_stored(&entry).await {
            Err(Error::Unavailable(_)) => {
                while_unavailable(PAUSES, PATIENCE, || self.delete_stored(&entry)).await?;
            }
            deleted => deleted?,
        }
        hidden.is_gone = true;
        Ok(true)
    }

    /// Somebody else may have deleted it, and another one have been made under its id, at any moment. So nothing is removed but
    /// what was stored while the record was this conversation's.
    async fn delete_stored(&self, entry: &ConversationState) -> ports::Result<()> {
        let is_meant =
            |record: &ConversationRecord| entry.is_of(record) || mutants::is(Mutant::DeletionAgainstCreation);
        let is_own = async || {
            let record = self.read(entry.id).await?;
            Ok(record.is_some_and(|record| is_meant(&record)))
        };
        if !self.remove_logs_if(entry, is_own).await? {
            return Ok(());
        }
        let key = entry.id.hex();
        let own =
            |record: &mut Option<ConversationRecord>| record.take_if(|record| is_meant(record)).is_some();
        self.records().change(&key, own).await?;
        if let Err(error) = self.0.ports.kv.delete(PROJECTIONS, &key, Expect::Anything).await {
            tracing::warn!(conversation.id = %entry.id, %error, "a stored projection is left behind");
        }
        Ok(())
    }

    /// Removes what was written of a conversation while it was deleted, unless another one has its id, or is being copied or brought
    /// to it: that has no record yet, and begins as nothing does that comes late.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn remove_late(&self, entry: &ConversationState) -> ports::Result<()> {
        self.remove_logs_if(entry, async || {
            let first = self.0.ports.log.read(&entry.log, Seq::ZERO, 1).await?;
            let is_begun = first.first().is_some_and(|first| LogRecord::is_claim(&first.payload));
            Ok(!is_begun && self.read(entry.id).await?.is_none())
        })
        .await
        .map(drop)
    }

    /// Removes what the logs of a conversation had in them when `may_go` said so. Whether it has.
    async fn remove_logs_if(
        &self,
        entry: &ConversationState,
        may_go: impl AsyncFnOnce() -> ports::Result<bool>,
    ) -> ports::Result<bool> {
        let commands = LogId::bash(entry.log.sandbox(), BashScope::Conversation(entry.id));
        let snapshots = LogId::snapshots(entry.log.sandbox(), entry.id);
        let log = &self.0.ports.log;
        let (events, others, kept) =
            tokio::try_join!(log.extent(&entry.log), log.extent(&commands), log.extent(&snapshots))?;
        if !may_go().await? {
            return Ok(false);
        }
        tokio::try_join!(
            log.remove(&entry.log, events),
            log.remove(&commands, others),
            log.remove(&snapshots, kept),
        )?;
        Ok(true)
    }

    /// Takes in a record that was read or written here, and not because it was told that it has changed. Of a conversation that
    /// was not known it looks once more: it may have been deleted before it was in, and nobody tells of that a second time.
    async fn take_in(&self, seen: Sighting) -> ports::Result<Arc<ConversationState>> {
        let id = seen.record.id;
        let is_known = self.any(id).is_some_and(|known| known.is_of(&seen.record));
        let entry = self.adopt(seen).await?;
        if !is_known {
            self.bring_in_line(id, Wish::RECORD);
        }
        Ok(entry)
    }

    /// Takes in a stored record: a new conversation, or a newer record of a known one.
    pub(super) async fn adopt(&self, seen: Sighting) -> ports::Result<Arc<ConversationState>> {
        if let Some(entry) = self.any(seen.record.id) {
            if entry.is_of(&seen.record) || entry.state().revision >= seen.revision {
                entry.replace_record(seen);
                self.directory_mut().reorder(&entry);
                return Ok(entry);
            }
            self.drop_if_same(Some(&entry));
        }
        let texts = self.0.texts.clone();
        let entry = Arc::new(ConversationState::new(seen, Projection::default(), texts));
        // Nobody is shown a conversation before it was read, and no record finds it before it is in: what is stored
        // between the two is found by looking once more.
        self.catch_up(&entry).await?;
        let entry = self.directory_mut().insert(entry);
        if !mutants::is(Mutant::AdoptBeforeInsert) {
            self.catch_up(&entry).await?;
        }
        Ok(entry)
    }

    fn records(&self) -> Bucket<'_, ConversationRecord> {
        Bucket::new(self.0.ports.kv.as_ref(), CONVERSATIONS)
    }
}

/// A conversation that is being deleted, for as long.
struct Hidden<'a> {
    index: &'a Index,
    entry: &'a Arc<ConversationState>,
    is_gone: bool,
}

impl Drop for Hidden<'_> {
    fn drop(&mut self) {
        let mut directory = self.index.directory_mut();
        directory.unhide(self.entry.id);
        if self.is_gone {
            // Those who were told that it was hidden have still found it in the store.
            directory.tell(self.entry);
        } else {
            directory.insert(self.entry.clone());
        }
        drop(directory);
        // What was told of the id meanwhile was passed over: there may be another conversation, or more of this one.
        self.index.bring_in_line(self.entry.id, if self.is_gone { Wish::RECORD } else { Wish::ALL });
    }
}

/// A record as it is stored, without its agent object; and that as text, for it is by far the larger part and rarely
/// read. How its title is made nobody asks here: who does reads the store.
pub(super) struct Sighting {
    pub(super) record: ConversationRecord,
    pub(super) agent: Box<RawValue>,
    pub(super) revision: u64,
}

impl Sighting {
    fn of(stored: Versioned<ConversationRecord>) -> ports::Result<Self> {
        let Versioned { value: mut record, revision } = stored;
        let agent = serde_json::value::to_raw_value(&record.agent.take()).map_err(damaged)?;
        record.titling = Titling::default();
        Ok(Self { record, agent, revision })
    }

    pub(super) fn read(stored: &KvEntry) -> ports::Result<Self> {
        let (record, agent) = decode(&stored.value)?;
        Ok(Self { record, agent, revision: stored.revision })
    }
}

fn damaged(error: serde_json::Error) -> Error {
    Error::Internal(format!("a record: {error}"))
}

fn decode(value: &[u8]) -> ports::Result<(ConversationRecord, Box<RawValue>)> {
    #[derive(Deserialize)]
    struct Only<'a> {
        #[serde(borrow)]
        agent: &'a RawValue,
    }
    let agent = serde_json::from_slice::<Only<'_>>(value).map_err(damaged)?.agent;
    let start = agent.get().as_ptr() as usize - value.as_ptr() as usize;
    let before = value.get(..start).unwrap_or_default();
    let after = value.get(start + agent.get().len()..).unwrap_or_default();
    let mut record: ConversationRecord =
        serde_json::from_slice(&[before, b"null", after].concat()).map_err(damaged)?;
    record.titling = Titling::default();
    Ok((record, agent.to_owned()))
}
