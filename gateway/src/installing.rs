//! What installing skills, plugins and extensions of the user interface has in common.

use control::extensions::Order;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::error::{ApiResult, Problem};

/// Of an address, a ref or a path.
const MOST: usize = 4_096;

#[derive(Deserialize, utoipa::ToSchema)]
pub struct InstallExtensionRequest {
    /// An address of a repository, `github:owner/repo`, or a folder.
    source: String,
    /// A branch, a tag or a commit.
    r#ref: Option<String>,
    /// A folder of the repository.
    repo_path: Option<String>,
    /// Whether it may take the place of what is installed.
    #[serde(default)]
    force: bool,
}

#[derive(Deserialize, utoipa::ToSchema)]
pub struct SetEnabledRequest {
    pub enabled: bool,
}

#[derive(Serialize, utoipa::ToSchema)]
pub struct EnabledResponse {
    pub name: String,
    pub enabled: bool,
}

#[derive(Serialize, utoipa::ToSchema)]
pub struct UninstalledResponse {
    pub message: String,
}

impl InstallExtensionRequest {
    /// # Errors
    /// For a source that is empty, or texts that are longer than any of them.
    pub fn into_order(self) -> ApiResult<Order> {
        let Self { source, r#ref: reference, repo_path, force } = self;
        check_source(&source)?;
        check_length("ref", reference.as_deref())?;
        check_length("repo_path", repo_path.as_deref())?;
        Ok(Order { source, reference, repo_path, force })
    }
}

/// # Errors
/// For one that is empty or too long.
pub fn check_source(source: &str) -> ApiResult<()> {
    if source.is_empty() {
        let ctx = Some(json!({"min_length": 1}));
        let msg = "String should have at least 1 character";
        return Err(Problem { ctx, ..Problem::new("string_too_short", &["body", "source"], msg) }.into());
    }
    check_length("source", Some(source))
}

/// # Errors
/// For a text that is too long.
pub fn check_length(field: &str, text: Option<&str>) -> ApiResult<()> {
    if text.is_none_or(|text| text.len() <= MOST) {
        return Ok(());
    }
    let msg = format!("String should have at most {MOST} characters");
    let ctx = Some(json!({"max_length": MOST}));
    Err(Problem { ctx, ..Problem::new("string_too_long", &["body", field], msg) }.into())
}
