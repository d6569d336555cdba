//! A conversation that begins with what another one has said.
//!
//! Its log comes before its record: until the record is there nobody knows of it, and a crash leaves a log that no
//! conversation has, which is removed (`copy`). It is in the sandbox of its source, for it has the same workspace. Secrets are sealed for
//! the conversation they are in, so they are opened and sealed anew.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ports::Error;
use ports::retry::{Backoff, while_unavailable};
use ports::rpc::{Code, Fault, Reason};
use readmodel::index::{ConversationState, Created};
use serde_json::Value;
use types::calls::Command;
use types::conversation::{ConversationRecord, Projection, clean_title};
use types::{ConversationId, EventId, LogId, time};

use super::copy::{Copied, WITHDRAWALS, WITHDRAWING, Which};
use super::{Conversations, QUICK};

/// How often a conversation is copied whose model is switched meanwhile.
const SWITCHES: usize = 3;

/// How long a store is waited for that is away when the record of a copy was stored.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSES: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));

/// What a copy is to be.
#[derive(Clone, Debug, Default)]
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
    /// There is one with this id.
    Taken(ConversationId),
    UnknownEvent(EventId),
}

impl Conversations {
    /// Copies a conversation. While it runs what it has stored by now is copied. Goes on to its end also when nobody waits
    /// for it.
    ///
    /// # Errors
    /// `Conflict`, with a text: a secret does not open. `Full`: there is no room. `Unavailable`: somebody else makes a conversation
    /// of this id. `Overloaded`: the tenant has many copied at once. Those of the store.
    pub async fn fork(&self, entry: &Arc<ConversationState>, fork: Fork) -> Result<Forked, Fault> {
        self.0.activity.touch();
        let slot = self.0.copies.take(&entry.tenant)?;
        let (conversations, entry) = (self.clone(), entry.clone());
        let forking = async move {
            let _slot = slot;
            conversations.fork_now(&entry, fork).await
        };
        self.0.tasks.spawn(forking).await.map_err(Fault::internal)?
    }

    async fn fork_now(&self, entry: &Arc<ConversationState>, fork: Fork) -> Result<Forked, Fault> {
        // What was said at creation is a part of the conversation.
        self.deliver_waiting(entry).await?;
        let id = fork.id.unwrap_or_else(ConversationId::random);
        let _turn = self.0.in_hand.wait(id).await?;
        if self.0.index.read(id).await?.is_some() {
            return Ok(Forked::Taken(id));
        }
        let branch = match &fork.from_event {
            None => None,
            Some(event) => match self.0.history.branch_of(entry, event.as_str()).await? {
                None => return Ok(Forked::UnknownEvent(event.clone())),
                branch => branch,
            },
        };
        let log = LogId::conversation(entry.log.sandbox(), id);
        let which = Which { branch, has_costs: fork.keeps_costs };
        for _ in 0..SWITCHES {
            // What it fails for is known before anything is copied.
            let before = self.record_of_copy(entry, id, &fork).await?;
            let copied = match self.copy_log(&entry.log, id, &log, &which).await {
                Ok(copied) => copied,
                Err(Error::Conflict { .. }) => return Ok(Forked::Taken(id)),
                Err(error) => return Err(error.into()),
            };
            // Fails where the source is gone by now: then what was copied may be torn, and its working tree be removed.
            let record = self.record_of_copy(entry, id, &fork).await;
            if record.as_ref().is_ok_and(|record| model_of(record) == model_of(&before)) {
                return self.publish_copy(entry, &record?, &log, &copied).await;
            }
            // Its model was switched meanwhile: what tells the copy of that, so that no model is asked about thoughts that
            // another one has signed, may not be in it.
            self.discard_copy(id, &log, &copied).await;
            record?;
        }
        Err(Fault::new(
            Code::Unavailable,
            "The model of this conversation is being switched. Try again later.",
        ))
    }

    /// The record of the copy `id` by what the source's is now, secrets sealed.
    async fn record_of_copy(
        &self,
        entry: &ConversationState,
        id: ConversationId,
        fork: &Fork,
    ) -> Result<ConversationRecord, Fault> {
        let mut record = self.stored_record(entry).await?;
        record.forked_from_conversation_id = Some(entry.id);
        record.forked_from_event_id = fork.from_event.as_ref().map(|event| event.0.clone());
        record.parent_conversation_id = None;
        record.title = fork.title.as_deref().and_then(clean_title);
        record.tags.clone_from(&fork.tags);
        let mut record = self.opened_for(record, id)?;
        self.seal(&mut record);
        Ok(record)
    }

    /// The record as it is stored, with the settings that were changed since it was made; made now, and without what only
    /// the first one was to do.
    pub(super) async fn stored_record(&self, entry: &ConversationState) -> Result<ConversationRecord, Fault> {
        let record = self.0.index.read(entry.id).await?;
        let is_it = |record: &ConversationRecord| entry.is_of(record);
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

    async fn publish_copy(
        &self,
        source: &ConversationState,
        record: &ConversationRecord,
        log: &LogId,
        copied: &Copied,
    ) -> Result<Forked, Fault> {
        let entry = match self.create_copy(record).await {
            Ok(Created::New(entry)) => entry,
            Ok(Created::Existing(entry)) => {
                self.discard_copy(record.id, log, copied).await;
                return Ok(Forked::Taken(entry.id));
            }
            // Perhaps it is stored, and has the copy then. Else that is one that was cut off.
            Err(error @ Error::Unavailable(_)) => return Err(error.into()),
            Err(error) => {
                self.discard_copy(record.id, log, copied).await;
                return Err(error.into());
            }
        };
        let stays = while_unavailable(PAUSES, PATIENCE, || self.stays(source, record, log, copied)).await;
        if matches!(stays, Ok(true)) {
            self.end_copied_goal(&entry).await;
            return Ok(Forked::Made(entry));
        }
        self.0.index.withdraw(record).await?;
        self.discard_copy(record.id, log, copied).await;
        stays?;
        Err(Fault::new(Code::Unavailable, "The workspace is being deleted. Try again later."))
    }

    /// Stores the record of a copy, of which nobody else has the mark. So one that is there and is the same was stored before, by a
    /// try whose answer was lost.
    async fn create_copy(&self, record: &ConversationRecord) -> ports::Result<Created> {
        let mut tries = 0..WITHDRAWALS;
        loop {
            match while_unavailable(PAUSES, PATIENCE, || self.0.index.create(record)).await? {
                Created::Existing(entry) if entry.is_of(record) => return Ok(Created::New(entry)),
                // Who has stored it sees the copy, and withdraws his record.
                Created::Existing(_) if tries.next().is_some() => tokio::time::sleep(WITHDRAWING).await,
                created => return Ok(created),
            }
        }
    }

    /// Whether a copy whose record is stored is one that can be worked in: whoever has deleted the source since either knows of the
    /// copy, or is known here. And whoever has deleted an earlier conversation of this id may have removed what came late.
    async fn stays(
        &self,
        source: &ConversationState,
        record: &ConversationRecord,
        log: &LogId,
        copied: &Copied,
    ) -> ports::Result<bool> {
        let has_its_tree = record.worktree.is_none() || self.is_stored_still(source).await?;
        Ok(has_its_tree && self.is_whole(log, copied).await? && self.placement().kept(record).await?)
    }

    async fn is_stored_still(&self, source: &ConversationState) -> ports::Result<bool> {
        Ok(self.0.index.read(source.id).await?.is_some_and(|record| source.is_of(&record)))
    }

    /// Nobody works in the copy towards a goal that its source works towards. The worker notes that when it opens the copy.
    async fn end_copied_goal(&self, entry: &Arc<ConversationState>) {
        if !entry.with_projection(|projection| projection.goal.as_ref().is_some_and(|goal| goal.active)) {
            return;
        }
        if let Err(fault) = self.command(entry, Command::Wake {}, QUICK).await {
            tracing::warn!(conversation.id = %entry.id, %fault, "a copy says that a goal is worked on");
        }
    }
}

/// Which model is asked: of secrets in it nothing can be compared.
fn model_of(record: &ConversationRecord) -> [Option<&Value>; 2] {
    ["/llm/model", "/llm/base_url"].map(|field| record.agent.pointer(field))
}
