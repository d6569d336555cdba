//! Extensions of the user interface.

use crate::described::Routes;

/// What `/server_info` says of it.
pub const CAPABILITIES: &[&str] = &[];

pub fn routes() -> Routes {
    Routes::new()
}
