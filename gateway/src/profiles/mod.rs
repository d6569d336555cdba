//! LLM profiles: models by name.

mod read;
mod validate;
mod write;

use crate::described::{Routes, routes};

/// What `/server_info` says of it.
pub const CAPABILITIES: &[&str] = &[];

pub fn routes() -> Routes {
    Routes::new()
        .routes(routes!(read::list_profiles))
        .routes(routes!(read::get_profile, write::save_profile, write::delete_profile))
        .routes(routes!(write::rename_profile))
        .routes(routes!(write::activate_profile))
        .routes(routes!(validate::validate_profile))
}
