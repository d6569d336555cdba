//! How a cluster is told to place conversations.

use std::path::PathBuf;
use std::time::Duration;

use super::Policy;

/// How a cluster places its conversations.
#[derive(Clone, Debug)]
pub struct Cluster {
    pub policy: Policy,
    /// Absolute: the directory whose directories are workspaces.
    pub root: PathBuf,
    /// What a worker may take to start before a call that waits for it is given up.
    pub patience: Duration,
}
