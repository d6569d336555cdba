//! Programs that extensions of the user interface bring along: their state, and what they serve below `/app-backends`,
//! with a guard of its own.

use crate::App;
use crate::described::Routes;

/// What `/server_info` says of it.
pub const CAPABILITIES: &[&str] = &[];

/// Guarded here, for callers name themselves otherwise than to the rest.
pub fn own_routes(_app: &App) -> Routes {
    Routes::new()
}

/// Guarded as everything below `/api`.
pub fn routes() -> Routes {
    Routes::new()
}
