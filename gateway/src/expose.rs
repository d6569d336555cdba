//! `X-Expose-Secrets`: how stored secrets are shown.

use axum::extract::{FromRef, FromRequestParts};
use axum::response::AppendHeaders;
use control::shelf;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use crate::auth::{Caller, Right};
use crate::error::ApiError;
use crate::handles::Showing;

const HEADER: &str = "x-expose-secrets";

/// So many characters of what was sent are told back.
const TOLD: usize = 32;

/// Of an answer that shows them: they are kept nowhere on their way, and nobody is shown what another header has asked for.
pub const HEADERS: AppendHeaders<[(HeaderName, HeaderValue); 2]> = AppendHeaders([
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (header::VARY, HeaderValue::from_static(HEADER)),
]);

/// How this caller is shown secrets. Plain text is not for web pages: one that an extension or a foreign page has got into must not
/// read what the user interface itself never needs.
#[derive(Clone, Copy, Debug)]
pub struct Expose(pub shelf::Expose);

impl<S: Sync> FromRequestParts<S> for Expose
where
    Showing: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let given = parts.headers.get(HEADER).map(|value| String::from_utf8_lossy(value.as_bytes()));
        let wanted = wanted(given.as_deref().unwrap_or_default())?;
        if wanted == shelf::Expose::Plain {
            let caller = Caller::from_request_parts(parts, state).await?;
            if is_of_page(&parts.headers) || !Showing::from_ref(state).plain || !caller.may(Right::Write) {
                return Err(ApiError::new(
                    StatusCode::FORBIDDEN,
                    "Secrets are not shown in plain text to this caller",
                ));
            }
            tracing::warn!(tenant = %caller.tenant, path = parts.uri.path(), "stored secrets are shown in plain text");
        }
        Ok(Self(wanted))
    }
}

/// A page of another origin sends `Origin`; one of our own only says that it is one.
fn is_of_page(headers: &HeaderMap) -> bool {
    headers.contains_key(header::ORIGIN) || headers.contains_key("sec-fetch-site")
}

fn wanted(given: &str) -> Result<shelf::Expose, ApiError> {
    match given.trim().to_ascii_lowercase().as_str() {
        "" => Ok(shelf::Expose::Masked),
        "encrypted" | "true" => Ok(shelf::Expose::Encrypted),
        "plaintext" => Ok(shelf::Expose::Plain),
        _ => {
            let told: String = given.trim().chars().take(TOLD).collect();
            Err(ApiError::bad_request(format!(
                "Invalid X-Expose-Secrets header value: '{told}'. Valid values are: 'encrypted', 'plaintext'."
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_secrets_are_shown_is_said_in_any_case() {
        assert_eq!(wanted("").unwrap(), shelf::Expose::Masked);
        assert_eq!(wanted(" True ").unwrap(), shelf::Expose::Encrypted);
        assert_eq!(wanted("PLAINTEXT ").unwrap(), shelf::Expose::Plain);
        let Err(ApiError::Refused { detail, .. }) = wanted(&"z".repeat(99)) else { panic!("it was taken") };
        assert!(detail.contains(&format!("'{}'", "z".repeat(TOLD))), "{detail}");
    }
}
