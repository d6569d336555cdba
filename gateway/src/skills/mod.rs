//! Skills: those that are found in folders, and those that are installed.

mod body;
mod found;
mod installed;

use crate::described::{Routes, routes};

/// What `/server_info` says of it.
pub const CAPABILITIES: &[&str] = &["skill_catalog_v1"];

pub fn routes() -> Routes {
    Routes::new()
        .routes(routes!(found::get_skills))
        .routes(routes!(found::get_skill_catalog))
        .routes(routes!(found::sync_skills))
        .routes(routes!(found::get_skill_marketplace))
        .routes(routes!(installed::install_skill))
        .routes(routes!(installed::list_installed_skills))
        .routes(routes!(
            installed::get_installed_skill,
            installed::set_skill_enabled,
            installed::uninstall_skill
        ))
        .routes(routes!(installed::refresh_skill))
}
