//! Conversations in the terms of another API, below `/v1`, with a guard of their own.

use crate::App;
use crate::described::Routes;

/// What `/server_info` says of it.
pub const CAPABILITIES: &[&str] = &[];

/// Guarded here, for callers name themselves otherwise than to the rest.
pub fn own_routes(_app: &App) -> Routes {
    Routes::new()
}
