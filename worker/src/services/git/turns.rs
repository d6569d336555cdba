//! One at a time makes or removes the working trees of a conversation.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Mutex as Lock, OwnedMutexGuard};
use types::ConversationId;

#[derive(Default)]
pub(super) struct Turns(Mutex<HashMap<ConversationId, Arc<Lock<()>>>>);

impl Turns {
    /// Waits for whoever has it.
    pub(super) async fn take(&self, id: ConversationId) -> OwnedMutexGuard<()> {
        let lock = {
            let mut all = self.0.lock();
            all.retain(|_, lock| Arc::strong_count(lock) > 1);
            Arc::clone(all.entry(id).or_default())
        };
        lock.lock_owned().await
    }
}
