//! MCP servers, as far as they are tried out and logged in to before a conversation uses them.

use crate::ground::Ground;

/// MCP servers, as far as they are tried out and logged in to before a conversation uses them. Cheap to clone.
#[derive(Clone)]
pub struct McpServers {
    #[expect(dead_code, reason = "nothing is asked of it yet")]
    ground: Ground,
}

impl McpServers {
    pub(crate) fn new(ground: &Ground) -> Self {
        Self { ground: ground.clone() }
    }
}
