//! What the rooms of the control plane are made from.

use std::sync::Arc;

use outbound::Outbound;

use crate::placement::Workers;
use crate::shelf::Shelves;
use crate::{OpenAi, Tasks};

/// What rooms are made from. Cheap to clone.
#[derive(Clone)]
pub struct Ground {
    pub shelves: Shelves,
    /// Calls what clients name.
    pub outbound: Outbound,
    pub github_url: Arc<str>,
    pub openai: OpenAi,
    pub workers: Workers,
    pub tasks: Tasks,
}
