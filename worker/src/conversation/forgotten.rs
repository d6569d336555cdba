//! What becomes of a conversation that was forgotten for a deletion: it has gone, or that was given up and it goes on. Who
//! deletes says which; where that is not heard, for he was killed or the bus was away, the record tells after a while.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ports::retry::Backoff;
use ports::rpc::{Code, Fault};
use types::Life;
use types::calls::CommandDone;
use uuid::Uuid;

use super::open;
use super::registry::Registry;

const PAUSES: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(60));

/// Deleting waits this long for the files of tools to go; they go in any case.
const FILES_DEADLINE: Duration = Duration::from_secs(1);

impl Registry {
    /// Ends what [`Command::Forget`] has begun for this deletion.
    pub(super) async fn forgotten(
        self: &Arc<Self>,
        life: Life,
        folder: PathBuf,
        deletion: Uuid,
        is_gone: bool,
    ) -> Result<CommandDone, Fault> {
        self.unsettled.lock().remove(&deletion);
        self.settle(life, Arc::new(folder), deletion, is_gone).await;
        Ok(CommandDone::default())
    }

    /// Does by itself in the background what is to be done, unless it is [told](Self::forgotten) before.
    pub(super) fn settle_later(self: &Arc<Self>, life: Life, folder: Arc<PathBuf>, deletion: Uuid) {
        self.unsettled.lock().insert(deletion);
        let registry = Arc::clone(self);
        let settling = async move {
            tokio::time::sleep(registry.shared.config.deleting).await;
            let mut pauses = PAUSES;
            while registry.is_unsettled(deletion) {
                let is_gone = match open::record(&registry.shared, life.id).await {
                    Ok(copy) => !copy.life().may_be(&life),
                    Err(fault) if fault.code == Code::NotFound => true,
                    Err(fault) => {
                        tracing::debug!(conversation.id = %life.id, %fault, "how a deletion has ended is not known yet");
                        tokio::time::sleep(pauses.pause()).await;
                        continue;
                    }
                };
                if registry.unsettled.lock().remove(&deletion) {
                    return registry.settle(life, folder, deletion, is_gone).await;
                }
            }
        };
        self.shared.tracker.spawn(self.shared.shutdown.clone().run_until_cancelled_owned(settling));
    }

    fn is_unsettled(&self, deletion: Uuid) -> bool {
        self.unsettled.lock().contains(&deletion)
    }

    async fn settle(self: &Arc<Self>, life: Life, folder: Arc<PathBuf>, deletion: Uuid, is_gone: bool) {
        let id = life.id;
        if is_gone {
            let removed = self.shared.with_kept(id, &folder, tools::remove_set_aside);
            let _ = tokio::time::timeout(FILES_DEADLINE, removed).await;
            return;
        }
        self.shared.with_kept(id, &folder, move |folder: &Path| tools::put_back(folder, deletion)).await;
        self.shared.guards.commands.gone().take_back_of(deletion);
        // It is opened so that a run that was cut off is closed. Nobody waits for that, and whoever has it now may not have left.
        self.close_later(life);
    }
}
