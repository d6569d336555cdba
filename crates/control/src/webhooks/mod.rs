//! Webhooks: addresses of the operator's that are told of conversations and of their events.
//!
//! What a hook is told follows from the log and from a cursor, which says how far it was told; nothing else is kept. So it is
//! told everything at least once and in order, over restarts and whoever is killed, and no conversation waits for a hook. [docs/webhooks.md](../../../../docs/webhooks.md) says what is promised.
//!
//! | file | says |
//! | --- | --- |
//! | `hook` | what the operator has described |
//! | `cursor` | how far a hook was told of a conversation |
//! | `batch`, `told` | what it is told |
//! | `aside`, `ending`, `life` | what it is still to be told of one that is deleted, and which log that is of |
//! | `ledger` | how much is kept of those |
//! | `lane` | who has a turn, and when |
//! | `courier`, `look`, `telling` | the task of a hook, what it finds when it begins, and one turn |
//! | `call` | one call |

mod aside;
mod batch;
mod call;
mod courier;
mod cursor;
mod ending;
mod hook;
mod lane;
mod ledger;
mod life;
mod look;
mod telling;
#[cfg(test)]
mod tests;
mod told;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use outbound::Outbound;
use ports::leader::{Candidate, Timing};
use ports::rpc::Fault;
use ports::{Error, EventLog, Kv};
use readmodel::history::History;
use readmodel::index::{ConversationState, Index};
use telemetry::metrics::Work;
use tokio_util::sync::CancellationToken;
use types::buckets::WEBHOOKS;

use aside::Aside;
use courier::Courier;
use cursor::{Cursors, LEASE};
use ending::Endings;
pub use hook::Hook;
use hook::HookId;
use ledger::Waits;

/// Another gateway takes over when the one that delivers has said nothing for so long.
const TIMING: Timing = Timing { lifetime: Duration::from_secs(12), renewal: Duration::from_secs(4) };

/// A deletion that takes longer than this has failed, and the conversation stays.
const DELETING: Duration = Duration::from_secs(120);

/// The webhooks of this server. Cheap to clone.
#[derive(Clone)]
pub struct Webhooks(Arc<Inner>);

pub(crate) struct Inner {
    pub hooks: Vec<Hook>,
    pub index: Index,
    pub history: Arc<History>,
    pub log: Arc<dyn EventLog>,
    pub kv: Arc<dyn Kv>,
    pub outbound: Outbound,
    pub conversations_path: Arc<Path>,
    pub work: Work,
}

impl Webhooks {
    pub(crate) fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.hooks.is_empty()
    }

    /// Tells the hooks, in the only process of a server, until `stop`; what is left is told then.
    pub(crate) async fn tell(self, stop: CancellationToken) {
        self.tell_each(&stop, true).await;
    }

    /// The same in one of several gateways at a time.
    pub(crate) async fn tell_in_turn(self, stop: CancellationToken) {
        let candidate = Candidate::new(&self.0.kv, (WEBHOOKS, LEASE), "telling webhooks", TIMING);
        let work = |stop: CancellationToken| {
            let webhooks = self.clone();
            // What is under way when the turn is lost is dropped: another gateway tells it.
            async move { stop.run_until_cancelled(webhooks.tell_each(&stop, false)).await.unwrap_or_default() }
        };
        candidate.lead(&stop, work).await;
    }

    /// A conversation is being deleted, and nobody writes its log any more: what hooks are still to be told is put aside, as
    /// much as there is room for.
    ///
    /// # Errors
    /// The store is away: then it must not go.
    pub(crate) async fn put_aside(&self, entry: &ConversationState) -> Result<(), Fault> {
        let all = self.named().enumerate().map(|(number, (hook, id))| async move {
            match self.put_aside_for(hook, id, entry).await {
                Ok(true) => return Ok(()),
                Err(error @ Error::Unavailable(_)) => return Err(Fault::from(error)),
                Err(error) => tracing::warn!(hook = number, %error, "an end cannot be put aside"),
                Ok(false) => {}
            }
            tracing::warn!(conversation.id = %entry.id, hook = number,
                "of a conversation that is deleted not all is kept for a webhook");
            self.0.work.hook_gave_up();
            Ok(())
        });
        // Each comes to its end, and leaves nothing half done.
        join_all(all).await.into_iter().collect()
    }

    async fn put_aside_for(&self, hook: &Hook, id: HookId, entry: &ConversationState) -> ports::Result<bool> {
        let (cursors, endings) = (self.cursors(id.clone()).await?, self.endings(id));
        let (log, path) = (&*self.0.log, &*self.0.conversations_path);
        Aside { hook, cursors: &cursors, endings: &endings, log, path }.put(entry).await
    }

    async fn tell_each(&self, stop: &CancellationToken, closes: bool) {
        let couriers = self.named().enumerate().map(|(number, (hook, id))| async move {
            let Some(courier) = self.courier(number, hook, id, stop).await else { return };
            courier.run(stop.clone(), closes).await;
        });
        join_all(couriers).await;
    }

    /// `None`: stopped before the store answered.
    async fn courier(
        &self,
        number: usize,
        hook: &Hook,
        id: HookId,
        stop: &CancellationToken,
    ) -> Option<Courier> {
        let mut pauses = ports::retry::Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
        let cursors = loop {
            match self.cursors(id.clone()).await {
                Ok(cursors) => break cursors,
                Err(error) => tracing::warn!(hook = number, %error, "a webhook is not told for now"),
            }
            stop.run_until_cancelled(tokio::time::sleep(pauses.pause())).await?;
        };
        Some(Courier {
            hook: Arc::new(hook.clone()),
            number,
            cursors,
            endings: self.endings(id),
            index: self.0.index.clone(),
            log: self.0.log.clone(),
            kv: self.0.kv.clone(),
            outbound: self.0.outbound.clone(),
            conversations_path: self.0.conversations_path.clone(),
            work: self.0.work.clone(),
            waits: Arc::new(Waits::of(DELETING)),
        })
    }

    async fn cursors(&self, id: HookId) -> ports::Result<Cursors> {
        Cursors::open(self.0.kv.clone(), self.0.log.clone(), self.0.history.clone(), id).await
    }

    fn endings(&self, hook: HookId) -> Endings {
        Endings { kv: self.0.kv.clone(), hook }
    }

    /// The hooks with their names: several may have one address.
    fn named(&self) -> impl Iterator<Item = (&Hook, HookId)> {
        let mut seen: HashMap<String, usize> = HashMap::new();
        self.0.hooks.iter().map(move |hook| {
            let nth = seen.entry(hook.id(0).0).or_default();
            let id = hook.id(*nth);
            *nth += 1;
            (hook, id)
        })
    }
}
