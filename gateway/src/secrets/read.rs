//! The names of secrets, and the value of one.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use control::setup::Setups;
use control::tenant_secrets::TenantSecrets;
use http::{HeaderName, HeaderValue, StatusCode, header};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};

use super::{SecretItemResponse, check_name};
use crate::auth::{Caller, Right};
use crate::error::{ApiError, ApiResult};
use crate::extract::{Json, Path, Query};

/// A value is kept nowhere on its way, and is not guessed to be a page.
const HEADERS: [(HeaderName, HeaderValue); 3] = [
    (header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
];

#[derive(Deserialize)]
pub(super) struct Listing {
    agent_profile_id: Option<String>,
}

#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct SecretsListResponse {
    secrets: Vec<SecretItemResponse>,
}

/// The names of the secrets, of those that an agent profile may use, if it is named.
#[utoipa::path(get, path = "/api/settings/secrets", tag = "Settings", params(("agent_profile_id" = Option<String>, Query)),
    responses((status = 200, body = SecretsListResponse), (status = 404, description = "No such agent profile")))]
pub(super) async fn list_secrets(
    State(secrets): State<TenantSecrets>,
    State(setups): State<Setups>,
    caller: Caller,
    Query(listing): Query<Listing>,
) -> ApiResult<Json<SecretsListResponse>> {
    let allowed = match &listing.agent_profile_id {
        Some(id) => setups.secrets_of_profile(&caller.tenant, id).await?,
        None => None,
    };
    let is_allowed = |name: &String| allowed.as_ref().is_none_or(|allowed| allowed.contains(name));
    let listed = secrets.list(&caller.tenant).await?.into_iter().filter(|secret| is_allowed(&secret.name));
    let shown =
        listed.map(|secret| SecretItemResponse { name: secret.name, description: secret.description });
    Ok(Json(SecretsListResponse { secrets: shown.collect() }))
}

/// The value of a secret, for callers that may write.
#[utoipa::path(get, path = "/api/settings/secrets/{name}", tag = "Settings", params(("name" = String, Path)),
    responses((status = 200, body = String, content_type = "text/plain"), (status = 404, description = "No such secret")))]
pub(super) async fn get_secret_value(
    State(secrets): State<TenantSecrets>,
    caller: Caller,
    Path(name): Path<String>,
) -> ApiResult<Response> {
    check_name(&name)?;
    let value = secrets.value(&caller.tenant, &name).await?;
    // Whether there is one of this name the list says, too.
    if !caller.may(Right::Write) {
        return Err(ApiError::plain(StatusCode::FORBIDDEN));
    }
    tracing::info!(tenant = %caller.tenant, secret = name, "a stored secret is given out");
    Ok((HEADERS, value.expose_secret().to_owned()).into_response())
}
