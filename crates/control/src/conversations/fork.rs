//! A conversation that begins with what another one has said.
//!
//! Its log comes before its record: until the record is there nobody knows of it, and a crash leaves a log that no
//! conversation has, which is swept. It is in the sandbox of its source, for it has the same workspace. Secrets are sealed for
//! the conversation they are in, so they are opened and sealed anew.

use std::collections::BTreeMap;
use std::sync::Arc;

use ports::Error;
use ports::rpc::{Code, Fault, Reason};
use readmodel::index::{ConversationState, Created};
use types::conversation::{ConversationRecord, Projection};
use types::{ConversationId, EventId, LogId, time};

use super::Conversations;
use super::copy::Which;

/// What a copy is to be.
#[derive(Debug, Default)]
pub struct Fork {
    pub id: Option<ConversationId>,
    pub title: Option<String>,
    pub tags: BTreeMap<String, String>,
    /// Whether it has cost what its source has.
    pub keeps_costs: bool,
    /// Only what leads to this event is copied.
    pub from_event: Option<EventId>,
}

/// What came of the wish for a copy.
pub enum Forked {
    Made(Arc<ConversationState>),
    /// There is one with this id, or there will be.
    Taken(ConversationId),
    UnknownEvent(EventId),
}

impl Conversations {
    /// Copies a conversation. While it runs what it has stored by now is copied. Goes on to its end also when nobody waits
    /// for it.
    ///
    /// # Errors
    /// `Conflict`, with a text: a secret does not open. `Full`: there is no room. Those of the store.
    pub async fn fork(&self, entry: &Arc<ConversationState>, fork: Fork) -> Result<Forked, Fault> {
        self.0.activity.touch();
        let (conversations, entry) = (self.clone(), entry.clone());
        let forking = async move { conversations.fork_now(&entry, fork).await };
        self.0.tasks.spawn(forking).await.map_err(Fault::internal)?
    }

    async fn fork_now(&self, entry: &Arc<ConversationState>, fork: Fork) -> Result<Forked, Fault> {
        // What was said at creation is a part of the conversation.
        self.deliver_waiting(entry).await?;
        let id = fork.id.unwrap_or_else(ConversationId::random);
        if self.0.index.read(id).await?.is_some() {
            return Ok(Forked::Taken(id));
        }
        let branch = match &fork.from_event {
            None => None,
            Some(event) => match self.0.history.branch_of(entry, Some(event.as_str())).await? {
                None => return Ok(Forked::UnknownEvent(event.clone())),
                branch => branch,
            },
        };
        let mut record = self.stored_record(entry).await?;
        record.forked_from_conversation_id = Some(entry.id);
        record.forked_from_event_id = fork.from_event.map(|event| event.0);
        record.parent_conversation_id = None;
        record.title = fork.title;
        record.tags = fork.tags;
        let mut record = self.opened_for(record, id)?;
        self.seal(&mut record);
        let log = LogId::conversation(&record.sandbox, id);
        let which = Which { branch, has_costs: fork.keeps_costs };
        match self.copy_log(&entry.log, &log, &which).await {
            Ok(()) => self.publish_copy(&record, &log).await,
            Err(Error::Conflict { .. }) => Ok(Forked::Taken(id)),
            Err(error) => Err(error.into()),
        }
    }

    /// The record as it is stored, with the settings that were changed since it was made; made now, and without what only
    /// the first one was to do.
    pub(super) async fn stored_record(&self, entry: &ConversationState) -> Result<ConversationRecord, Fault> {
        let record = self.0.index.read(entry.id).await?;
        let is_it = |record: &ConversationRecord| *record.created_at == *entry.created_at();
        let mut record = record.filter(is_it).ok_or_else(|| Fault::from(Reason::Missing))?;
        let settings = |projection: &Projection| {
            let tags = projection.tags.clone();
            (projection.confirmation_policy.clone(), projection.security_analyzer.clone(), tags)
        };
        let (policy, analyzer, tags) = entry.with_projection(settings);
        if let Some(policy) = policy {
            record.confirmation_policy = policy;
        }
        if let Some(analyzer) = analyzer {
            record.security_analyzer = analyzer;
        }
        if let Some(tags) = tags {
            record.tags = tags;
        }
        record.created_at = time::utc_now();
        record.undelivered = None;
        record.refused = None;
        Ok(record)
    }

    async fn publish_copy(&self, record: &ConversationRecord, log: &LogId) -> Result<Forked, Fault> {
        let entry = match self.0.index.create(record).await? {
            Created::New(entry) => entry,
            Created::Existing(entry) => return Ok(Forked::Taken(entry.id)),
        };
        if self.placement().kept(record).await? {
            return Ok(Forked::Made(entry));
        }
        self.0.index.withdraw(record).await?;
        self.discard_copy(log).await;
        Err(Fault::new(Code::Unavailable, "The workspace is being deleted. Try again later."))
    }
}
