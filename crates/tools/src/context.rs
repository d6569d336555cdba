//! What the tools of a conversation are made with.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::secrets::{NoSecrets, Secrets};

/// Where the tools of a conversation work and keep their files, and what they must hide.
#[derive(Clone)]
pub struct ToolContext {
    pub working_dir: PathBuf,
    /// The conversation's own folder: `TASKS.json`, `observations/`, `edits/`. Made when first needed.
    pub persistence_dir: PathBuf,
    pub secrets: Arc<dyn Secrets>,
}

impl ToolContext {
    /// Of a conversation without secrets.
    #[must_use]
    pub fn new(working_dir: impl Into<PathBuf>, persistence_dir: impl Into<PathBuf>) -> Self {
        let (working_dir, persistence_dir) = (working_dir.into(), persistence_dir.into());
        Self { working_dir, persistence_dir, secrets: Arc::new(NoSecrets) }
    }

    /// Where results that are too large for an event are kept.
    pub(crate) fn observations(&self) -> PathBuf {
        self.persistence_dir.join("observations")
    }
}

impl fmt::Debug for ToolContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { working_dir, persistence_dir, secrets: _ } = self;
        f.debug_struct("ToolContext")
            .field("working_dir", working_dir)
            .field("persistence_dir", persistence_dir)
            .finish_non_exhaustive()
    }
}
