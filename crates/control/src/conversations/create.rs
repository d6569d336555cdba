//! Creating a conversation: all of it or nothing, and once for each id.

use std::sync::Arc;
use std::time::Duration;

use ports::rpc::{Code, Fault};
use readmodel::index::{ConversationState, Created};
use types::calls::{GitAnswer, GitCall};
use types::conversation::ConversationRecord;
use types::{ConversationId, LogId, SandboxId, Seq, TenantId};

use super::Conversations;
use super::copy::Foreign;
use super::in_hand::being_made;
use crate::placement::Creation;

/// What creation waits for a sandbox that has to be started. Most are there by then.
const MOMENT: Duration = Duration::from_secs(3);

/// How often a sandbox is looked for that is not being deleted, and how long those take to hear of it who know them.
const PLACINGS: usize = 10;
const HEARD_OF: Duration = Duration::from_millis(100);

/// What making the workspace may take; a conversation without it is still one.
const PREPARING: Duration = Duration::from_secs(20);

const MIXED: &str = "The events of another conversation are in this one, or are being brought there. Try again later, or delete it \
                     and make it again.";

/// What came of the wish to create a conversation.
pub enum CreateOutcome {
    New(Arc<ConversationState>),
    /// Its tenant has one with this id.
    Existing(Arc<ConversationState>),
    /// Another tenant has one with this id.
    Taken,
}

impl Conversations {
    /// Makes the conversation of `record`, whose secrets are in plain text and whose sandbox is still to be found;
    /// `alone`: in one of its own. `knows_its_id`: the client can ask for it again; to any other, one whose first
    /// message cannot be delivered is lost, and so it is deleted. Goes on to its end also when nobody waits for it.
    ///
    /// # Errors
    /// Those of the store, and of the first message's delivery.
    pub async fn create(
        &self,
        record: ConversationRecord,
        alone: bool,
        knows_its_id: bool,
    ) -> Result<CreateOutcome, Fault> {
        self.0.activity.touch();
        let conversations = self.clone();
        let creating = async move { conversations.create_now(record, alone, knows_its_id).await };
        self.0.tasks.spawn(creating).await.map_err(Fault::internal)?
    }

    pub(super) async fn create_now(
        &self,
        mut record: ConversationRecord,
        alone: bool,
        knows_its_id: bool,
    ) -> Result<CreateOutcome, Fault> {
        // Where it has a working tree its sandbox was found before.
        if record.worktree.is_some() {
            return self.create_in(record, alone, knows_its_id).await;
        }
        record.sandbox = self.sandbox_for(&record, alone).await?;
        let (sandbox, id) = (record.sandbox.clone(), record.id);
        let created = self.create_in(record, alone, knows_its_id).await;
        let is_in_it = match &created {
            Ok(CreateOutcome::New(entry) | CreateOutcome::Existing(entry)) => *entry.log.sandbox() == sandbox,
            Ok(CreateOutcome::Taken) => false,
            // What the store does not answer may yet be stored.
            Err(fault) => fault.may_be_done(),
        };
        if !is_in_it && let Err(error) = self.placement().unused(&sandbox, id).await {
            tracing::warn!(sandbox.id = %sandbox, %error, "a sandbox that nobody needs stays for now");
        }
        created
    }

    async fn create_in(
        &self,
        mut record: ConversationRecord,
        alone: bool,
        knows_its_id: bool,
    ) -> Result<CreateOutcome, Fault> {
        self.seal(&mut record);
        if self.placement().creation() == Creation::BeforeItsWorker {
            return self.create_first(record, alone, knows_its_id).await;
        }
        let (created, ()) = tokio::join!(self.store(&record), self.prepare(&record));
        let entry = match created? {
            Created::Existing(entry) => return self.theirs(&record.tenant, entry).await,
            Created::New(entry) => self.in_its_tree(&record, entry).await?,
        };
        if let Err(fault) = self.deliver(&entry).await {
            if !knows_its_id {
                self.delete(&record.tenant, entry.id).await?;
            }
            return Err(fault);
        }
        Ok(CreateOutcome::New(entry))
    }

    /// Goes on with what is left of a creation, if an earlier one was cut off.
    ///
    /// # Errors
    /// That of the first message's delivery.
    pub async fn complete(&self, entry: &Arc<ConversationState>) -> Result<(), Fault> {
        self.0.activity.touch();
        match self.placement().creation() {
            Creation::BeforeItsWorker => {
                if entry.record().undelivered.is_some() {
                    drop(self.begin(entry));
                }
            }
            Creation::Complete => drop(self.deliver(entry).await?),
        }
        Ok(())
    }

    /// The conversation with this id, unless it is to be made again.
    ///
    /// # Errors
    /// Those of the store. `Unavailable`, `Conflict`: another one is being copied there, or is in it.
    pub async fn made_before(
        &self,
        tenant: &TenantId,
        id: ConversationId,
    ) -> Result<Option<Arc<ConversationState>>, Fault> {
        let Some(entry) = self.get_stored(tenant, id).await? else { return Ok(None) };
        let is_nothing = self.is_without_sandbox(&entry).await? || self.is_only_a_copy(&entry).await?;
        Ok((!is_nothing).then_some(entry))
    }

    /// Whether its creation was cut off before its sandbox was to stay, and that has been given up since: nothing can be done in
    /// it, and it is to be made again.
    ///
    /// # Errors
    /// Those of the store.
    async fn is_without_sandbox(&self, entry: &Arc<ConversationState>) -> Result<bool, Fault> {
        if entry.seq() > Seq::ZERO || self.placement().kept(&entry.record()).await? {
            return Ok(false);
        }
        // Nothing of one that has been used is made again.
        self.0.index.catch_up(entry).await?;
        Ok(entry.seq() == Seq::ZERO)
    }

    /// As every creation, but a worker may have to be started: the conversation is there before it, and gets its
    /// workspace and first message when it comes. Whoever needs the conversation earlier delivers the message first.
    async fn create_first(
        &self,
        mut record: ConversationRecord,
        alone: bool,
        knows_its_id: bool,
    ) -> Result<CreateOutcome, Fault> {
        let placed = self.place(&mut record, alone).await;
        if placed.is_err()
            && !knows_its_id
            && let Err(error) = self.0.index.withdraw(&record).await
        {
            tracing::warn!(conversation.id = %record.id, %error, "a conversation of which its client was not told stays");
        }
        let entry = match placed? {
            Created::Existing(entry) => return self.theirs(&record.tenant, entry).await,
            Created::New(entry) => self.in_its_tree(&record, entry).await?,
        };
        // A client may use the workspace as soon as it has the answer: one that is there in a moment is waited for.
        let _ = tokio::time::timeout(MOMENT, self.begin(&entry)).await;
        Ok(CreateOutcome::New(entry))
    }

    /// Stores the record of a conversation in a sandbox that stays for it.
    async fn place(&self, record: &mut ConversationRecord, alone: bool) -> Result<Created, Fault> {
        for _ in 0..PLACINGS {
            let created = self.store(record).await?;
            let is_lost = match &created {
                Created::New(_) => !self.placement().kept(record).await?,
                Created::Existing(entry) if entry.tenant != record.tenant => false,
                Created::Existing(entry) => self.is_without_sandbox(entry).await?,
            };
            let (Created::New(entry) | Created::Existing(entry)) = &created;
            if !is_lost {
                return Ok(created);
            }
            // The last conversation that was in it has just been deleted, and the sandbox with it.
            self.0.index.withdraw(&entry.record()).await?;
            if record.worktree.is_some() {
                match created {
                    Created::New(_) => break,
                    // Another one's: its own has the working tree.
                    Created::Existing(_) => continue,
                }
            }
            tokio::time::sleep(HEARD_OF).await;
            record.sandbox = self.sandbox_for(record, alone).await?;
        }
        Err(Fault::new(Code::Unavailable, "The workspace is being deleted. Try again later."))
    }

    /// Stores the record, in nobody's way who makes, copies to or deletes the conversation.
    ///
    /// # Errors
    /// `Unavailable`: somebody else has it, or another one is being copied to its id. `Conflict`: there is one of which the log has
    /// events of another one. Those of the store.
    async fn store(&self, record: &ConversationRecord) -> Result<Created, Fault> {
        let _turn = self.0.in_hand.wait(record.id).await?;
        let log = LogId::conversation(&record.sandbox, record.id);
        self.remove_left(record.id, &log).await?;
        let mut created = self.0.index.create(record).await?;
        if let Created::Existing(entry) = &created
            && entry.tenant == record.tenant
            && self.is_only_a_copy(entry).await?
        {
            self.0.index.withdraw(&entry.record()).await?;
            self.remove_left(record.id, &entry.log).await?;
            created = self.0.index.create(record).await?;
        }
        // Who copies sees the record, too, and may have removed his copy before it is looked for here.
        if let Created::New(entry) = &created
            && entry.seq() > Seq::ZERO
            && (self.is_being_made(&log).await? || self.0.log.tail(&log).await? < entry.seq())
        {
            self.0.index.withdraw(record).await?;
            return Err(being_made());
        }
        Ok(created)
    }

    /// Whether nothing is in its log but a copy of another one that nobody makes any more. Whoever has stored its record was cut
    /// off before he looked: nobody was told of it.
    ///
    /// # Errors
    /// `Unavailable`: somebody makes the other one yet. `Conflict`: both are in it.
    async fn is_only_a_copy(&self, entry: &ConversationState) -> Result<bool, Fault> {
        if entry.seq() == Seq::ZERO || entry.record().forked_from_conversation_id.is_some() {
            return Ok(false);
        }
        match self.foreign_in(entry).await? {
            None => Ok(false),
            Some(Foreign::IsLeft) => Ok(true),
            Some(Foreign::Comes) => Err(being_made()),
            Some(Foreign::Stays) => Err(Fault::new(Code::Conflict, MIXED)),
        }
    }

    pub(super) async fn sandbox_for(
        &self,
        record: &ConversationRecord,
        alone: bool,
    ) -> Result<SandboxId, Fault> {
        let parent = record.parent_conversation_id;
        match parent.and_then(|parent| self.0.index.record(&record.tenant, parent)) {
            Some(parent) => Ok(parent.sandbox.clone()),
            None => Ok(self.placement().of_new(record, alone).await?),
        }
    }

    /// Goes on when it is not waited for. Ends when the workspace is there.
    fn begin(&self, entry: &Arc<ConversationState>) -> impl Future<Output = ()> + use<> {
        let (conversations, entry) = (self.clone(), entry.clone());
        let (prepared, is_prepared) = tokio::sync::oneshot::channel();
        self.0.tasks.spawn_until_drain(async move {
            // Nobody may wait for it.
            conversations.begin_now(&entry, || prepared.send(()).unwrap_or_default()).await;
        });
        async {
            // It ends early with the server.
            let _ = is_prepared.await;
        }
    }

    pub(super) async fn begin_now(&self, entry: &Arc<ConversationState>, is_prepared: impl FnOnce()) {
        // One is enough, however often the creation is repeated.
        let Ok(_turn) = entry.beginning.try_lock() else { return };
        self.prepare(&entry.record()).await;
        is_prepared();
        let Err(fault) = self.deliver(entry).await else { return };
        tracing::warn!(conversation.id = %entry.id, %fault, "the first message is not delivered");
        // What is refused now is refused for ever, and would keep all that is said later waiting.
        if fault.code == Code::Invalid
            && let Err(error) = self.refuse_first(entry, &fault.public).await
        {
            tracing::warn!(conversation.id = %entry.id, %error, "a first message that is refused waits on");
        }
    }

    /// The conversation that has the id already, if it is the tenant's.
    pub(super) async fn theirs(
        &self,
        tenant: &TenantId,
        entry: Arc<ConversationState>,
    ) -> Result<CreateOutcome, Fault> {
        if entry.tenant != *tenant {
            return Ok(CreateOutcome::Taken);
        }
        self.complete(&entry).await?;
        Ok(CreateOutcome::Existing(entry))
    }

    /// Makes the workspace. What goes wrong shows when a tool needs it. A working tree has been made, or there is none to make.
    async fn prepare(&self, record: &ConversationRecord) {
        if record.worktree.is_some() {
            return;
        }
        let call = GitCall::Prepare { path: record.workspace.working_dir.clone() };
        let prepared = self.0.workers.call_within::<_, GitAnswer>(&record.sandbox, &call, PREPARING).await;
        if let Err(fault) = prepared {
            tracing::warn!(conversation.id = %record.id, error = %fault, "the workspace is not prepared");
        }
    }
}
