//! What a new conversation may have, and gets where it does not say.

use std::path::PathBuf;
use std::sync::Arc;

use control::launch::Tools;

use crate::config::ToolEntry;

/// Tools every agent may have beside those of the configuration, by class name.
pub const BUILT_IN_TOOLS: [&str; 2] = ["FinishTool", "ThinkTool"];

/// Cheap to clone.
#[derive(Clone)]
pub struct Offer(Arc<Offered>);

pub struct Offered {
    /// In the order they are listed.
    pub tools: Vec<ToolEntry>,
    /// The working directory of conversations that name none.
    pub workspace_path: PathBuf,
    /// Whether a conversation can have a sandbox of its own.
    pub has_containers: bool,
}

impl Offer {
    #[must_use]
    pub fn new(offered: Offered) -> Self {
        Self(Arc::new(offered))
    }

    /// What an agent can be given.
    #[must_use]
    pub fn of_agents(&self) -> Tools {
        let default = self.tools.iter().filter(|tool| tool.in_default_set).map(|tool| tool.name.clone());
        let known = self.tools.iter().map(|tool| tool.name.as_str()).chain(BUILT_IN_TOOLS);
        Tools { default: default.collect(), known: known.map(str::to_owned).collect() }
    }
}

impl std::ops::Deref for Offer {
    type Target = Offered;

    fn deref(&self) -> &Offered {
        &self.0
    }
}
