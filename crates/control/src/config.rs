//! What the control plane is told at start.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use outbound::Outbound;
use telemetry::metrics::{Calls, Work};

use crate::placement::Cluster;
use crate::webhooks::Hook;

/// GitHub itself.
pub const GITHUB: &str = "https://api.github.com";

/// Where OpenAI is asked for logins, and called with them.
#[derive(Clone, Debug)]
pub struct OpenAi {
    pub login_url: Arc<str>,
    /// Of models for those who have subscribed.
    pub models_url: Arc<str>,
}

impl Default for OpenAi {
    fn default() -> Self {
        Self {
            login_url: "https://auth.openai.com".into(),
            models_url: "https://chatgpt.com/backend-api/codex".into(),
        }
    }
}

/// What the control plane is told at start.
pub struct Config {
    /// Shown to workers as the folder above a conversation's own.
    pub conversations_path: PathBuf,
    /// The folder of the working trees that conversations have for themselves, unless it must lie in their workspaces.
    pub worktree_root: PathBuf,
    pub mode: Mode,
    /// US dollars that all conversations of a tenant together may spend on models; none: no limit. Kept in a
    /// cluster alone, where model calls go through the control plane.
    pub tenant_budget_usd: Option<f64>,
    /// Calls what others name: models, say.
    pub outbound: Outbound,
    /// Where GitHub is asked for repositories.
    pub github_url: Arc<str>,
    pub openai: OpenAi,
    /// Who is told of conversations.
    pub webhooks: Vec<Hook>,
    /// A copy of a conversation that was begun, and was not finished for so long, is one that nobody makes any more.
    pub copies_left_after: Duration,
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
