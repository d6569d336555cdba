//! What a new conversation may have, and gets where it does not say.

use std::path::PathBuf;
use std::sync::Arc;

use crate::config::ToolEntry;

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
}

impl std::ops::Deref for Offer {
    type Target = Offered;

    fn deref(&self) -> &Offered {
        &self.0
    }
}
