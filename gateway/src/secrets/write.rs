//! Secrets are kept and forgotten.

use std::collections::BTreeMap;

use axum::extract::State;
use control::tenant_secrets::TenantSecrets;
use secrecy::SecretString;
use serde::Deserialize;
use types::secrets::MASK;

use super::{SecretItemResponse, check_name};
use crate::auth::Caller;
use crate::error::{ApiError, ApiResult, Problem};
use crate::extract::{Json, Path};

const MOST_DESCRIPTION: usize = 1_024;

#[derive(Deserialize, utoipa::ToSchema)]
pub(super) struct SecretCreateRequest {
    #[schema(pattern = "^[A-Za-z][A-Za-z0-9_]{0,63}$")]
    name: String,
    /// Not blank.
    #[schema(min_length = 1)]
    value: String,
    #[schema(max_length = 1024)]
    description: Option<String>,
}

/// Keeps a secret, in the place of the one of its name.
#[utoipa::path(put, path = "/api/settings/secrets", tag = "Settings", request_body = SecretCreateRequest,
    responses((status = 200, body = SecretItemResponse)))]
pub(super) async fn create_secret(
    State(secrets): State<TenantSecrets>,
    caller: Caller,
    Json(body): Json<SecretCreateRequest>,
) -> ApiResult<Json<SecretItemResponse>> {
    check_name(&body.name)?;
    if body.value.trim().is_empty() || body.value == MASK {
        return Err(ApiError::unprocessable("Secret value must not be empty or redacted"));
    }
    if body.description.as_ref().is_some_and(|text| text.chars().count() > MOST_DESCRIPTION) {
        let msg = format!("String should have at most {MOST_DESCRIPTION} characters");
        return Err(Problem::new("string_too_long", &["body", "description"], msg).into());
    }
    let value = SecretString::from(body.value);
    secrets.put(&caller.tenant, &body.name, &value, body.description.as_deref()).await?;
    Ok(Json(SecretItemResponse { name: body.name, description: body.description }))
}

/// Forgets a secret.
#[utoipa::path(delete, path = "/api/settings/secrets/{name}", tag = "Settings", params(("name" = String, Path)),
    responses((status = 200, body = BTreeMap<String, bool>), (status = 404, description = "No such secret")))]
pub(super) async fn delete_secret(
    State(secrets): State<TenantSecrets>,
    caller: Caller,
    Path(name): Path<String>,
) -> ApiResult<Json<BTreeMap<&'static str, bool>>> {
    check_name(&name)?;
    secrets.delete(&caller.tenant, &name).await?;
    Ok(Json([("deleted", true)].into()))
}
