//! What the server is, what it offers, and how it is; the first without a key, for probes.

mod info;
mod init;
mod metrics;
mod probes;
mod tools;

use axum::Router;
use axum::extract::FromRef;
use axum::routing::get;
use control::Activity;

use crate::described::{Routes, routes};
use crate::handles::About;

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

/// What is said of a server before it is one.
pub fn bare_routes<S: Clone + Send + Sync + 'static>() -> Router<S>
where
    About: FromRef<S>,
    Activity: FromRef<S>,
{
    Router::new().route("/", get(info::get_server_info)).route("/server_info", get(info::get_server_info))
}

/// Behind the key.
pub fn guarded_routes() -> Routes {
    Routes::new()
        .routes(routes!(tools::list_available_tools))
        .routes(routes!(tools::get_tool_catalog))
        .route("/metrics", get(metrics::show))
}
