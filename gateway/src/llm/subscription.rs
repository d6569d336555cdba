//! Logins with OpenAI, for those who have subscribed to its models. No token is ever shown.

use axum::extract::State;
use control::logins::{Challenge, Logins, OPENAI_MODELS};
use serde::{Deserialize, Serialize};

use crate::auth::Caller;
use crate::error::ApiResult;
use crate::extract::Json;

const VENDOR: &str = "openai";

#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct SubscriptionModelsResponse {
    vendor: String,
    models: Vec<String>,
}

/// Whether there is a login that works.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct SubscriptionStatusResponse {
    vendor: String,
    connected: bool,
    /// Not known.
    account_email: Option<String>,
    /// In milliseconds since 1970.
    expires_at: Option<u64>,
}

/// What the user is to enter, and where.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct SubscriptionDeviceStartResponse {
    /// To poll with.
    device_code: String,
    user_code: String,
    verification_uri: String,
    verification_uri_complete: Option<String>,
    /// In milliseconds since 1970.
    expires_at: u64,
    interval_seconds: u64,
}

#[derive(Deserialize, utoipa::ToSchema)]
pub(super) struct SubscriptionDevicePollRequest {
    device_code: String,
}

/// The models of a subscription.
#[utoipa::path(get, path = "/api/llm/subscription/openai/models", tag = "LLM",
    responses((status = 200, body = SubscriptionModelsResponse)))]
pub(super) async fn list_openai_subscription_models() -> Json<SubscriptionModelsResponse> {
    let models = OPENAI_MODELS.map(str::to_owned).into();
    Json(SubscriptionModelsResponse { vendor: VENDOR.to_owned(), models })
}

/// Whether there is a login that works; a token that is about to end is refreshed.
#[utoipa::path(get, path = "/api/llm/subscription/openai/status", tag = "LLM",
    responses((status = 200, body = SubscriptionStatusResponse)))]
pub(super) async fn get_openai_subscription_status(
    State(logins): State<Logins>,
    caller: Caller,
) -> ApiResult<Json<SubscriptionStatusResponse>> {
    Ok(Json(status(logins.openai_until(&caller.tenant).await?)))
}

/// Begins a login, which the user allows at the provider's page.
#[utoipa::path(post, path = "/api/llm/subscription/openai/device/start", tag = "LLM",
    responses((status = 200, body = SubscriptionDeviceStartResponse), (status = 502, description = "The provider cannot be reached")))]
pub(super) async fn start_openai_subscription_device_login(
    State(logins): State<Logins>,
    caller: Caller,
) -> ApiResult<Json<SubscriptionDeviceStartResponse>> {
    Ok(Json(logins.begin_openai(&caller.tenant).await?.into()))
}

/// Whether the user has allowed a login that was begun.
#[utoipa::path(post, path = "/api/llm/subscription/openai/device/poll", tag = "LLM",
    request_body = SubscriptionDevicePollRequest,
    responses((status = 200, body = SubscriptionStatusResponse), (status = 404, description = "There is no such login under way"),
        (status = 502, description = "The provider cannot be reached")))]
pub(super) async fn poll_openai_subscription_device_login(
    State(logins): State<Logins>,
    caller: Caller,
    Json(body): Json<SubscriptionDevicePollRequest>,
) -> ApiResult<Json<SubscriptionStatusResponse>> {
    Ok(Json(status(logins.finish_openai(&caller.tenant, &body.device_code).await?)))
}

/// Forgets the login, and those under way.
#[utoipa::path(post, path = "/api/llm/subscription/openai/logout", tag = "LLM",
    responses((status = 200, body = SubscriptionStatusResponse)))]
pub(super) async fn logout_openai_subscription(
    State(logins): State<Logins>,
    caller: Caller,
) -> ApiResult<Json<SubscriptionStatusResponse>> {
    logins.forget_openai(&caller.tenant).await?;
    Ok(Json(status(None)))
}

fn status(until: Option<u64>) -> SubscriptionStatusResponse {
    SubscriptionStatusResponse {
        vendor: VENDOR.to_owned(),
        connected: until.is_some(),
        account_email: None,
        expires_at: until,
    }
}

impl From<Challenge> for SubscriptionDeviceStartResponse {
    fn from(challenge: Challenge) -> Self {
        Self {
            device_code: challenge.id,
            user_code: challenge.user_code,
            verification_uri: challenge.url,
            verification_uri_complete: None,
            expires_at: challenge.expires_at,
            interval_seconds: challenge.interval_seconds,
        }
    }
}
