//! What installing skills, plugins and extensions of the user interface has in common.

use control::extensions::{Extensions, Order, noun};
use serde::{Deserialize, Serialize};
use serde_json::json;
use types::extensions::ExtensionKind;

use crate::auth::Caller;
use crate::error::{ApiResult, Problem};
use crate::extract::{Json, check_extension_name};

/// Of an address, a ref or a path.
const MOST: usize = 4_096;

#[derive(Deserialize, utoipa::ToSchema)]
pub struct InstallExtensionRequest {
    /// An address of a repository, `github:owner/repo`, or a folder.
    #[schema(min_length = 1, max_length = 4096)]
    source: String,
    /// A branch, a tag or a commit.
    #[schema(max_length = 4096)]
    r#ref: Option<String>,
    /// A folder of the repository.
    #[schema(max_length = 4096)]
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

/// # Errors
/// For what is no name of an installed one, and those of the store.
pub async fn set_enabled(
    extensions: &Extensions,
    caller: &Caller,
    kind: ExtensionKind,
    name: String,
    enabled: bool,
) -> ApiResult<Json<EnabledResponse>> {
    check_name(kind, &name)?;
    extensions.set_enabled(&caller.tenant, kind, &name, enabled).await?;
    Ok(Json(EnabledResponse { name, enabled }))
}

/// # Errors
/// For what is no name of an installed one, and those of the store.
pub async fn uninstall(
    extensions: &Extensions,
    caller: &Caller,
    kind: ExtensionKind,
    name: &str,
) -> ApiResult<Json<UninstalledResponse>> {
    check_name(kind, name)?;
    extensions.uninstall(&caller.tenant, kind, name).await?;
    Ok(Json(UninstalledResponse { message: format!("{} '{name}' uninstalled", noun(kind)) }))
}

/// # Errors
/// 422 for what may be no name, with the peer's parameter and pattern.
pub fn check_name(kind: ExtensionKind, name: &str) -> ApiResult<()> {
    let (parameter, pattern) = name_in_path(kind);
    check_extension_name(name, parameter, pattern)
}

/// The parameter of paths that names one, and the pattern of such names.
#[must_use]
pub fn name_in_path(kind: ExtensionKind) -> (&'static str, &'static str) {
    match kind {
        ExtensionKind::Skill => ("skill_name", "^[a-z0-9]+(-[a-z0-9]+)*$"),
        ExtensionKind::Plugin => ("plugin_name", "^[a-z0-9]+(?:-[a-z0-9]+)*$"),
        ExtensionKind::Canvas => ("extension_name", "^[a-z0-9]+(?:-[a-z0-9]+)*$"),
    }
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
        return Err(Problem { ctx, ..Problem::empty(&["body", "source"]) }.into());
    }
    check_length("source", Some(source))
}

/// # Errors
/// For a text that is too long.
pub fn check_length(field: &str, text: Option<&str>) -> ApiResult<()> {
    if text.is_none_or(|text| text.len() <= MOST) {
        return Ok(());
    }
    Err(Problem::too_long(&["body", field], MOST).into())
}
