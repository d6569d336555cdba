//! A plugin that is looked at without being installed.

use std::collections::BTreeMap;

use axum::extract::State;
use control::extensions::{Extensions, PluginCheck};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use types::secrets::{SecretSource, check_sources};

use crate::auth::Caller;
use crate::error::{ApiResult, Problem};
use crate::extract::{Json, Object};
use crate::installing::{check_length, check_source};
use crate::schema::conversation::GivenSecret;

const LONGEST_SECONDS: i64 = 600;

#[derive(Deserialize, utoipa::ToSchema)]
pub struct FetchPluginRequest {
    /// An address of a repository, `github:owner/repo`, or a folder; with `${NAME}` where a secret belongs.
    #[schema(min_length = 1, max_length = 4096)]
    source: String,
    #[schema(max_length = 4096)]
    r#ref: Option<String>,
    #[schema(max_length = 4096)]
    repo_path: Option<String>,
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, GivenSecret>)]
    secrets: BTreeMap<String, Given>,
    /// Seconds.
    #[serde(default = "default_timeout")]
    #[schema(minimum = 1, maximum = 600)]
    timeout: i64,
}

/// A secret with its source, or its value alone.
#[derive(Deserialize)]
#[serde(untagged)]
enum Given {
    Value(String),
    Source(Object<SecretSource>),
}

fn default_timeout() -> i64 {
    60
}

#[derive(Serialize, utoipa::ToSchema)]
pub struct FetchPluginResponse {
    path: String,
    /// The commit.
    resolved_ref: Option<String>,
    source: String,
    repo_path: Option<String>,
    manifest: Value,
    skills: Vec<String>,
    commands: Vec<String>,
}

/// Fetches a plugin, and tells what it is. Nothing of it is installed or run.
#[utoipa::path(post, path = "/api/plugins/fetch", tag = "Plugins", request_body = FetchPluginRequest,
    responses((status = 200, body = FetchPluginResponse), (status = 422, description = "The source or the plugin does not fit"),
        (status = 502, description = "The source cannot be reached"), (status = 504, description = "It took too long")))]
pub async fn fetch_plugin(
    State(extensions): State<Extensions>,
    caller: Caller,
    Json(body): Json<FetchPluginRequest>,
) -> ApiResult<Json<FetchPluginResponse>> {
    let check = body.into_check()?;
    let checked = extensions.check_plugin(&caller.tenant, &check).await?;
    Ok(Json(FetchPluginResponse {
        path: checked.path,
        resolved_ref: checked.resolved_ref,
        source: check.source,
        repo_path: check.repo_path,
        manifest: checked.manifest,
        skills: checked.skills,
        commands: checked.commands,
    }))
}

impl FetchPluginRequest {
    fn into_check(self) -> ApiResult<PluginCheck> {
        check_source(&self.source)?;
        check_length("ref", self.r#ref.as_deref())?;
        check_length("repo_path", self.repo_path.as_deref())?;
        let source = |given| match given {
            Given::Value(value) => SecretSource::StaticSecret { description: None, value: Some(value) },
            Given::Source(Object(source)) => source,
        };
        let secrets: BTreeMap<_, _> =
            self.secrets.into_iter().map(|(name, given)| (name, source(given))).collect();
        let too_much =
            |says: String| Problem::new("value_error", &["body", "secrets"], format!("Value error, {says}"));
        check_sources(&secrets).map_err(too_much)?;
        Ok(PluginCheck {
            source: self.source,
            reference: self.r#ref,
            repo_path: self.repo_path,
            secrets,
            timeout_seconds: seconds(self.timeout)?,
        })
    }
}

fn seconds(timeout: i64) -> ApiResult<u64> {
    let problem = |kind, says: &str, ctx| Problem {
        ctx: Some(ctx),
        ..Problem::new(kind, &["body", "timeout"], format!("Input should be {says}"))
    };
    match u64::try_from(timeout) {
        Ok(seconds) if seconds > 0 && timeout <= LONGEST_SECONDS => Ok(seconds),
        Ok(seconds) if seconds > 0 => {
            Err(problem("less_than_equal", "less than or equal to 600", json!({"le": LONGEST_SECONDS}))
                .into())
        }
        _ => Err(problem("greater_than_equal", "greater than or equal to 1", json!({"ge": 1})).into()),
    }
}
