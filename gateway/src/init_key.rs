//! Who may tell a server its settings: who shows the key that it was started with.

use http::{HeaderMap, StatusCode};

use crate::config::Init;
use crate::error::{ApiError, ApiResult};

const HEADER: &str = "x-init-api-key";

/// # Errors
/// 401 for whoever does not show the key, where there is one.
pub fn check(init: &Init, headers: &HeaderMap) -> ApiResult<()> {
    let Some(keys) = &init.key else { return Ok(()) };
    let shown = headers.get(HEADER).and_then(|key| str::from_utf8(key.as_bytes()).ok());
    match shown.is_some_and(|key| keys.accepts(key)) {
        true => Ok(()),
        false => Err(ApiError::plain(StatusCode::UNAUTHORIZED)),
    }
}
