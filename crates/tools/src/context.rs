//! What the tools of a conversation are made with.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fmt, fs, io};

use crate::secrets::{NoSecrets, Secrets};

/// What tools keep in the conversation's own folder.
const OBSERVATIONS: &str = "observations";
pub(crate) const EDITS: &str = "edits";
pub(crate) const TASKS: &str = "TASKS.json";
pub(crate) const NEW_TASKS: &str = ".TASKS.json.new";

/// Where the tools of a conversation work and keep their files, and what they must hide.
#[derive(Clone)]
pub struct ToolContext {
    pub working_dir: PathBuf,
    /// The conversation's own folder: `TASKS.json`, `observations/`, `edits/`. Made when first needed.
    pub persistence_dir: PathBuf,
    pub secrets: Arc<dyn Secrets>,
    /// What programs that tools start find in their environment, whatever else they inherit.
    pub environment: Vec<(String, String)>,
}

impl ToolContext {
    /// Of a conversation without secrets.
    #[must_use]
    pub fn new(working_dir: impl Into<PathBuf>, persistence_dir: impl Into<PathBuf>) -> Self {
        let (working_dir, persistence_dir) = (working_dir.into(), persistence_dir.into());
        Self { working_dir, persistence_dir, secrets: Arc::new(NoSecrets), environment: Vec::new() }
    }

    /// Where results that are too large for an event are kept.
    pub(crate) fn observations(&self) -> PathBuf {
        self.persistence_dir.join(OBSERVATIONS)
    }
}

/// Removes what the tools of a deleted conversation have kept in its own folder, and the folder if nothing else is in
/// it.
///
/// # Errors
/// Why something is left. The rest is removed all the same.
pub fn remove_kept(persistence_dir: &Path) -> io::Result<()> {
    let removed =
        [OBSERVATIONS, EDITS, TASKS, NEW_TASKS].map(|name| trees::remove(&persistence_dir.join(name)));
    removed.into_iter().collect::<io::Result<()>>()?;
    match fs::remove_dir(persistence_dir) {
        Err(error) if !matches!(error.kind(), ErrorKind::NotFound | ErrorKind::DirectoryNotEmpty) => {
            Err(error)
        }
        _ => Ok(()),
    }
}

impl fmt::Debug for ToolContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { working_dir, persistence_dir, .. } = self;
        f.debug_struct("ToolContext")
            .field("working_dir", working_dir)
            .field("persistence_dir", persistence_dir)
            .finish_non_exhaustive()
    }
}
