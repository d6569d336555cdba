//! Whether a model answers as it is configured, before it is kept.

use axum::extract::State;
use control::setup::{LlmProblem, Setups};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::auth::Caller;
use crate::error::ApiResult;
use crate::extract::{Json, Path, check_profile_path};
use crate::schema::llm::Llm;

#[derive(Deserialize, utoipa::ToSchema)]
pub(super) struct ValidateProfileRequest {
    #[schema(value_type = Llm)]
    llm: Value,
}

#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct ValidateProfileResponse {
    valid: bool,
    error: Option<ValidateProfileError>,
}

/// Why the model does not answer.
#[derive(Serialize, utoipa::ToSchema)]
struct ValidateProfileError {
    r#type: String,
    message: String,
}

/// Asks a model for one token. Nothing is kept, and there need be no profile of this name. What only passes, a limit of calls say,
/// is no error.
#[utoipa::path(post, path = "/api/profiles/{name}/validate", tag = "Profiles", params(("name" = String, Path)),
    request_body = ValidateProfileRequest,
    responses((status = 200, body = ValidateProfileResponse), (status = 422, description = "Its connection is not there"),
        (status = 429, description = "Too many are tried at once")))]
pub(super) async fn validate_profile(
    State(setups): State<Setups>,
    caller: Caller,
    Path(name): Path<String>,
    Json(body): Json<ValidateProfileRequest>,
) -> ApiResult<Json<ValidateProfileResponse>> {
    check_profile_path(&name)?;
    let problem = setups.try_llm(&caller.tenant, &name, body.llm).await?;
    let error = problem.map(ValidateProfileError::from);
    Ok(Json(ValidateProfileResponse { valid: error.is_none(), error }))
}

impl From<LlmProblem> for ValidateProfileError {
    fn from(problem: LlmProblem) -> Self {
        Self { r#type: problem.kind, message: problem.message }
    }
}
