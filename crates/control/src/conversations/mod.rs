//! What clients do to conversations: create, drive, change and delete them.
//!
//! A command goes to the worker of the conversation's sandbox, the only one that writes its log, and is answered once
//! the index shows what it did: whoever reads after the answer reads nothing older. Creating and deleting go on to
//! their end also when nobody waits for them. Who may do what is decided before; what is told of a failure, after.

mod branches;
mod children;
mod copy;
mod create;
mod drive;
mod end;
mod first_message;
mod following;
mod fork;
mod goal;
mod in_hand;
mod left_trees;
mod mark;
mod marketplaces;
mod secrets;
mod waiting;
mod why;
mod worktree;

use std::path::PathBuf;
use std::sync::Arc;

use ports::rpc::Fault;
use ports::{Bus, EventLog, Kv, Turns};
use readmodel::history::History;
use readmodel::index::{ConversationState, Index};
use types::{ConversationId, SandboxId, TenantId};
use vault::Vault;

use crate::models::Models;
use crate::placement::{Placement, Workers};
use crate::records::Records;
use crate::slots::Slots;
use crate::webhooks::Webhooks;
use crate::{Activity, Tasks};
pub use children::{Child, Isolation};
pub use create::CreateOutcome;
pub use drive::{QUICK, Said};
pub use fork::{Fork, Forked};
pub(crate) use in_hand::InHand;
pub use mark::LEFT as COPIES_LEFT_AFTER;
pub(crate) use mark::Marks;
pub use why::{Blocker, Why};
pub use worktree::{Apart, BRANCH_PREFIX};

/// The conversations of all tenants, to act on. Cheap to clone.
#[derive(Clone)]
pub struct Conversations(Arc<Inner>);

pub(crate) struct Inner {
    pub index: Index,
    pub history: Arc<History>,
    pub bus: Arc<dyn Bus>,
    pub log: Arc<dyn EventLog>,
    pub kv: Arc<dyn Kv>,
    /// The folder of working trees that may be anywhere.
    pub worktree_root: PathBuf,
    pub in_hand: InHand,
    /// Who deletes which.
    pub deletions: Turns<ConversationId>,
    /// Those that are made in working trees of their own, from before there is one.
    pub apart: InHand,
    /// Those of which the model is being replaced.
    pub switches: Turns<ConversationId>,
    /// Sandboxes from which old working trees are removed.
    pub sweeps: InHand<SandboxId>,
    /// Copies that a tenant has made at once.
    pub copies: Slots,
    pub marks: Marks,
    pub workers: Workers,
    pub records: Records,
    pub models: Models,
    pub vault: Arc<Vault>,
    pub webhooks: Webhooks,
    pub activity: Activity,
    pub tasks: Tasks,
}

impl Conversations {
    pub(crate) fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    /// A conversation of `tenant`, whichever gateway has made it; another's is not there.
    ///
    /// # Errors
    /// Those of the store, which is asked for what is not known here.
    pub async fn get(
        &self,
        tenant: &TenantId,
        id: ConversationId,
    ) -> Result<Option<Arc<ConversationState>>, Fault> {
        Ok(self.0.index.find(tenant, id).await?)
    }

    /// As [`Conversations::get`], but nothing that was deleted on another gateway a moment ago.
    ///
    /// # Errors
    /// Those of the store.
    async fn get_stored(
        &self,
        tenant: &TenantId,
        id: ConversationId,
    ) -> Result<Option<Arc<ConversationState>>, Fault> {
        Ok(self.0.index.get_stored(tenant, id).await?)
    }

    /// Whether it is still the conversation of its id: it was neither deleted nor made anew.
    #[must_use]
    pub fn has(&self, entry: &Arc<ConversationState>) -> bool {
        self.0.index.any(entry.id).is_some_and(|present| Arc::ptr_eq(&present, entry))
    }

    /// # Errors
    /// Those of the store.
    pub async fn rename(&self, entry: &ConversationState, title: &str) -> Result<(), Fault> {
        let set = |record: &mut types::conversation::ConversationRecord| {
            record.title = Some(title.to_owned());
            true
        };
        Ok(self.0.index.update(entry, set).await?)
    }

    fn placement(&self) -> &dyn Placement {
        self.0.workers.placement().as_ref()
    }
}
