//! What becomes of a conversation that was forgotten for a deletion: it has gone, or that was given up and it goes on.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ports::rpc::Fault;
use types::Life;
use types::calls::CommandDone;
use uuid::Uuid;

use super::registry::Registry;

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
        let (id, folder) = (life.id, Arc::new(folder));
        if is_gone {
            let removed = self.shared.with_kept(id, &folder, tools::remove_set_aside);
            let _ = tokio::time::timeout(FILES_DEADLINE, removed).await;
            return Ok(CommandDone::default());
        }
        self.shared.with_kept(id, &folder, move |folder: &Path| tools::put_back(folder, deletion)).await;
        self.shared.guards.commands.gone().take_back_of(deletion);
        // It is opened so that a run that was cut off is closed. Nobody waits for that, and whoever has it now may not have left.
        self.close_later(life);
        Ok(CommandDone::default())
    }
}
