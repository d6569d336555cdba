//! What the control plane is told at start.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use outbound::Outbound;
use telemetry::metrics::{Calls, Work};

use crate::placement::Cluster;

/// GitHub itself.
pub const GITHUB: &str = "https://api.github.com";

/// What the control plane is told at start.
pub struct Config {
    /// Shown to workers as the folder above a conversation's own.
    pub conversations_path: PathBuf,
    pub mode: Mode,
    /// US dollars that all conversations of a tenant together may spend on models; none: no limit. Kept in a
    /// cluster alone, where model calls go through the control plane.
    pub tenant_budget_usd: Option<f64>,
    /// Calls what others name: models, say.
    pub outbound: Outbound,
    /// Where GitHub is asked for repositories.
    pub github_url: Arc<str>,
    /// What model calls under way get to finish when the server stops.
    pub drain: Duration,
    pub metrics: Work,
    pub calls: Calls,
}

/// Where conversations and commands run.
#[derive(Clone, Debug, Default)]
pub enum Mode {
    /// In one sandbox whose worker is always there.
    #[default]
    Single,
    /// In sandboxes that a supervisor starts and stops.
    Cluster(Cluster),
}
