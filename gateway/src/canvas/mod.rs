//! Extensions of the user interface.

mod files;
mod installed;

use crate::described::{Routes, routes};

/// What `/server_info` says of it.
pub const CAPABILITIES: &[&str] = &[];

pub fn routes() -> Routes {
    Routes::new()
        .routes(routes!(installed::install_canvas_extension))
        .routes(routes!(installed::list_installed_canvas_extensions))
        .routes(routes!(
            installed::get_installed_canvas_extension,
            installed::set_canvas_extension_enabled,
            installed::uninstall_canvas_extension
        ))
        .routes(routes!(files::get_canvas_extension_bundle))
        .routes(routes!(files::get_canvas_extension_icon))
}
