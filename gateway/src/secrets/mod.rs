//! Named secrets that a tenant keeps. Values are given out one at a time, and never in a list.

mod read;
mod write;

use serde::Serialize;
use types::secrets::is_name;

use crate::described::{Routes, routes};
use crate::error::{ApiError, ApiResult};

/// What `/server_info` says of it.
pub const CAPABILITIES: &[&str] = &[];

pub fn routes() -> Routes {
    Routes::new()
        .routes(routes!(read::list_secrets, write::create_secret))
        .routes(routes!(read::get_secret_value, write::delete_secret))
}

/// A secret without its value.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct SecretItemResponse {
    name: String,
    description: Option<String>,
}

const NAME: &str = "Invalid secret name format. Must start with a letter, contain only letters, numbers, and underscores, \
                    and be 1-64 characters long.";

/// # Errors
/// For what is no name of a variable.
fn check_name(name: &str) -> ApiResult<()> {
    if is_name(name) { Ok(()) } else { Err(ApiError::unprocessable(NAME)) }
}
