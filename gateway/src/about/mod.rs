//! What the server is, what it offers, and how it is; the first without a key, for probes.

mod info;
mod init;
mod metrics;
mod probes;
mod tools;

use axum::routing::get;

use crate::described::{Routes, routes};

pub(crate) use info::API_LEVEL;

/// Open to everybody.
pub fn open_routes() -> Routes {
    Routes::new()
        .routes(routes!(probes::alive))
        .routes(routes!(probes::health))
        .routes(routes!(probes::ready))
        .routes(routes!(info::get_server_info))
        .routes(routes!(info::get_root))
        .routes(routes!(init::get_init_status, init::initialize_server))
}

/// Behind the key.
pub fn guarded_routes() -> Routes {
    Routes::new()
        .routes(routes!(tools::list_available_tools))
        .routes(routes!(tools::get_tool_catalog))
        .route("/metrics", get(metrics::show))
}
