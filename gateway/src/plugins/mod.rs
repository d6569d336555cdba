//! Plugins: those that are found in folders, those that are installed, and those that are looked at before that.

mod fetched;
mod found;
mod installed;

use crate::described::{Routes, routes};

/// What `/server_info` says of it.
pub const CAPABILITIES: &[&str] = &[];

pub fn routes() -> Routes {
    Routes::new()
        .routes(routes!(found::get_plugins))
        .routes(routes!(found::get_plugin_marketplace))
        .routes(routes!(fetched::fetch_plugin))
        .routes(routes!(installed::install_plugin))
        .routes(routes!(installed::list_installed_plugins))
        .routes(routes!(
            installed::get_installed_plugin,
            installed::set_plugin_enabled,
            installed::uninstall_plugin
        ))
        .routes(routes!(installed::refresh_plugin))
}
