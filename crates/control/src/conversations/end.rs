//! The rest of a conversation that is paused, and the end of one that is deleted.

use std::sync::Arc;
use std::time::Duration;

use ports::rpc::{Code, Fault, Reason};
use readmodel::index::ConversationState;
use types::calls::{Command, CommandDone};
use types::{ConversationId, SandboxId, TenantId};
use uuid::Uuid;

use super::Conversations;
use super::drive::Told;

/// What a worker gets to hear how a deletion has ended. What it does then goes on.
const TELLING: Duration = Duration::from_secs(5);

impl Conversations {
    /// Whether the tenant had one to delete. Goes on to its end also when nobody waits for it.
    ///
    /// # Errors
    /// The worker's fault; those of the store.
    pub async fn delete(&self, tenant: &TenantId, id: ConversationId) -> Result<bool, Fault> {
        let (conversations, tenant) = (self.clone(), tenant.clone());
        let deleting = self.0.tasks.spawn(async move { conversations.delete_now(&tenant, id).await });
        deleting.await.map_err(Fault::internal)?
    }

    /// As [`Conversations::delete`], for one that was made for a message that was not taken. Others may have found it meanwhile: where
    /// one has spoken in it, it stays.
    ///
    /// # Errors
    /// As [`Conversations::delete`].
    pub async fn delete_unused(&self, entry: &Arc<ConversationState>) -> Result<bool, Fault> {
        let (conversations, entry) = (self.clone(), entry.clone());
        let deleting = self.0.tasks.spawn(async move {
            if !conversations.has(&entry) || conversations.is_used(&entry).await? {
                return Ok(false);
            }
            conversations.delete_if(entry, true).await
        });
        deleting.await.map_err(Fault::internal)?
    }

    async fn is_used(&self, entry: &Arc<ConversationState>) -> Result<bool, Fault> {
        self.0.index.catch_up(entry).await?;
        Ok(entry.with_projection(|projection| projection.last_user_message_id.is_some()))
    }

    async fn delete_now(&self, tenant: &TenantId, id: ConversationId) -> Result<bool, Fault> {
        // While another one deletes it, nobody knows whether it goes.
        let _turn = self.0.deletions.wait(id).await;
        let Some(entry) = self.get(tenant, id).await? else { return Ok(false) };
        self.delete_if(entry, false).await
    }

    async fn delete_if(&self, entry: Arc<ConversationState>, is_to_be_unused: bool) -> Result<bool, Fault> {
        let (tenant, id) = (&entry.tenant, entry.id);
        let sandbox = entry.log.sandbox();
        let (mut told, mut goes, own, deletion) = (None, false, entry.clone(), Uuid::new_v4());
        let forget = async |entry: &ConversationState| {
            told = self.forget(entry, deletion).await?;
            // Nobody writes its log any more.
            if is_to_be_unused && self.is_used(&own).await? {
                return Err(Reason::Changed { tail: None }.into());
            }
            self.0.webhooks.put_aside(entry).await?;
            goes = true;
            Ok::<_, Fault>(())
        };
        let deleted = self.0.index.delete(tenant, id, forget).await;
        if deleted.is_err() && !goes {
            // It is as it was before, but for what ran.
            self.tell_the_end(&entry, deletion, false).await;
        }
        if !deleted? {
            return Ok(false);
        }
        if told.is_some() {
            self.tell_the_end(&entry, deletion, true).await;
        }
        // What is known here lags: another worker may have come in the place of the one that was told.
        let present = self.placement().stored_incarnation(sandbox).await;
        let is_told = present.is_ok_and(|present| told == Some(Told(present)));
        self.0.models.forget(&entry.record()).await;
        // First: what takes its time may be cut off.
        let may_rest = self.leave_sandbox(sandbox, id).await;
        if may_rest || entry.record().worktree.is_some() {
            self.rest_without(entry.clone(), may_rest);
        }
        if !is_told {
            self.delete_late(&entry).await;
        }
        Ok(true)
    }

    /// Tells the worker that was made to forget a conversation whether it has gone. Where it does
    /// not hear that it asks the record after a while, and so does the next one.
    async fn tell_the_end(&self, entry: &ConversationState, deletion: Uuid, is_gone: bool) {
        let persistence_dir = self.0.records.persistence_dir(entry.id);
        let call = entry.call(Command::Forgotten { persistence_dir, deletion, is_gone });
        let sandbox = entry.log.sandbox();
        let told = self.0.workers.call_if_awake::<_, CommandDone>(sandbox, &call, TELLING).await;
        if let Err(fault) = told
            && fault.code != Code::Absent
        {
            tracing::warn!(conversation.id = %entry.id, %fault, is_gone, "a worker is not told how a deletion has ended");
        }
    }

    /// Whether the sandbox stays, and may rest.
    async fn leave_sandbox(&self, sandbox: &SandboxId, id: ConversationId) -> bool {
        self.placement().left(sandbox, id).await.unwrap_or_else(|error| {
            tracing::warn!(conversation.id = %id, %error, "a sandbox that nobody needs is left behind for now");
            false
        })
    }

    /// Removes the working tree that nobody is in any more, of which the files may be many, and lets the sandbox rest: its worker
    /// removes them. Nobody waits for it.
    fn rest_without(&self, entry: Arc<ConversationState>, may_rest: bool) {
        let conversations = self.clone();
        self.0.tasks.spawn_until_drain(async move {
            conversations.leave_worktree(&entry).await;
            let sandbox = entry.log.sandbox();
            if may_rest && let Err(error) = conversations.placement().rest_empty(sandbox).await {
                tracing::warn!(sandbox.id = %sandbox, %error, "a sandbox that may rest is not paused");
            }
        });
    }

    /// A worker that came while the conversation was deleted, also after one that was told, may have opened it, and have
    /// written; from now on none can.
    async fn delete_late(&self, entry: &ConversationState) {
        let removed = async {
            let deletion = Uuid::new_v4();
            if self.forget(entry, deletion).await?.is_some() {
                self.tell_the_end(entry, deletion, true).await;
            }
            // Its record is gone: another one may be copied to its id.
            let _turn = self.0.in_hand.wait(entry.id).await?;
            Ok::<_, Fault>(self.0.index.remove_late(entry).await?)
        };
        if let Err(fault) = removed.await {
            tracing::warn!(conversation.id = %entry.id, %fault, "what was written while it was deleted may stay");
        }
    }

    /// A conversation was paused: its sandbox may need no worker any more. Nobody waits for it.
    pub fn rest(&self, id: ConversationId) {
        let placement = self.0.workers.placement().clone();
        self.0.tasks.spawn_until_drain(async move {
            if let Err(error) = placement.rest(id).await {
                tracing::warn!(conversation.id = %id, %error, "a sandbox that may rest is not paused");
            }
        });
    }
}
