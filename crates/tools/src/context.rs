use std::path::PathBuf;

/// Where the tools of a conversation work and keep their files.
#[derive(Clone, Debug)]
pub struct ToolContext {
    pub working_dir: PathBuf,
    /// The conversation's own folder: `TASKS.json`, `observations/`. Made when first needed.
    pub persistence_dir: PathBuf,
}
