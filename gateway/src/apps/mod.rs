//! Programs that extensions of the user interface bring along: their state, and what they serve below `/app-backends`,
//! with a guard of its own.

mod backend;
mod forward;
mod path;
mod proxy;
mod session;

use axum::middleware::from_fn_with_state;
use axum::routing::{any, get};
use types::extensions::ExtensionKind;

use crate::described::{Routes, routes};
use crate::error::ApiError;
use crate::{App, auth, installing};

/// What `/server_info` says of it. What it says where there is an ingress is `about`'s to add.
pub const CAPABILITIES: &[&str] = &[];

/// Guarded here, for callers name themselves otherwise than to the rest.
pub fn own_routes(app: Option<&App>) -> Routes {
    let sessions = Routes::new()
        .routes(routes!(session::create_app_backend_session, session::delete_app_backend_session))
        .guarded(app, |router, app| router.route_layer(from_fn_with_state(app, auth::guard)));
    Routes::new()
        .route("/app-backends/{extension_name}", any(proxy::proxy))
        .route("/app-backends/{extension_name}/", any(proxy::proxy))
        .route("/app-backends/{extension_name}/{*path}", any(proxy::proxy))
        // A program may have a page of that name, too: two of its methods are ours.
        .route(
            "/app-backends/{extension_name}/session",
            get(proxy::proxy).put(proxy::proxy).patch(proxy::proxy).options(proxy::proxy),
        )
        .merge(sessions)
}

/// Guarded as everything below `/api`.
pub fn routes() -> Routes {
    Routes::new()
        .routes(routes!(backend::get_backend_status))
        .routes(routes!(backend::prepare_backend))
        .routes(routes!(backend::start_backend))
        .routes(routes!(backend::stop_backend))
        .routes(routes!(backend::get_backend_logs))
        .routes(routes!(backend::delete_backend_data))
}

/// # Errors
/// For what is no name of an extension.
fn check_name(name: &str) -> Result<(), ApiError> {
    installing::check_name(ExtensionKind::Canvas, name)
}
