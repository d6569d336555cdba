//! The models and providers there are, and logins with a provider.

mod catalogue;
mod subscription;

use crate::described::{Routes, routes};

/// What `/server_info` says of it.
pub const CAPABILITIES: &[&str] = &[];

pub fn routes() -> Routes {
    Routes::new()
        .routes(routes!(catalogue::list_providers))
        .routes(routes!(catalogue::list_models))
        .routes(routes!(catalogue::list_verified_models))
        .routes(routes!(subscription::list_openai_subscription_models))
        .routes(routes!(subscription::get_openai_subscription_status))
        .routes(routes!(subscription::logout_openai_subscription))
}

/// Their answers are good for one login, or say how far one is by now: none is kept for who sends a call again.
pub fn unkept_routes() -> Routes {
    Routes::new()
        .routes(routes!(subscription::start_openai_subscription_device_login))
        .routes(routes!(subscription::poll_openai_subscription_device_login))
}
