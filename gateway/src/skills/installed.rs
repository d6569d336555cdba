//! Skills that are installed.

use axum::extract::State;
use control::extensions::{Extensions, Installed};
use serde::Serialize;
use types::extensions::ExtensionKind::Skill;

use crate::auth::Caller;
use crate::error::ApiResult;
use crate::extract::{Json, Path};
use crate::installing::{
    self, EnabledResponse, InstallExtensionRequest, SetEnabledRequest, UninstalledResponse, check_name,
};

#[derive(Serialize, utoipa::ToSchema)]
pub struct InstalledSkillResponse {
    name: String,
    version: String,
    description: String,
    enabled: bool,
    source: String,
    /// The commit.
    resolved_ref: Option<String>,
    repo_path: Option<String>,
    installed_at: String,
    install_path: String,
}

#[derive(Serialize, utoipa::ToSchema)]
pub struct InstalledSkillsListResponse {
    skills: Vec<InstalledSkillResponse>,
}

#[derive(Serialize, utoipa::ToSchema)]
pub struct UpdateSkillResponse {
    message: String,
    skill: InstalledSkillResponse,
}

impl From<Installed> for InstalledSkillResponse {
    fn from(one: Installed) -> Self {
        Self {
            name: one.name,
            version: one.version,
            description: one.description,
            enabled: one.enabled,
            source: one.source,
            resolved_ref: one.resolved_ref,
            repo_path: one.repo_path,
            installed_at: one.installed_at,
            install_path: one.install_path,
        }
    }
}

/// Installs a skill from a repository or a folder.
#[utoipa::path(post, path = "/api/skills/install", tag = "Skills", request_body = InstallExtensionRequest,
    responses((status = 200, body = InstalledSkillResponse), (status = 400, description = "The source cannot be fetched"),
        (status = 409, description = "It is installed already"), (status = 413, description = "It is too large"),
        (status = 422, description = "It is no skill")))]
pub async fn install_skill(
    State(extensions): State<Extensions>,
    caller: Caller,
    Json(body): Json<InstallExtensionRequest>,
) -> ApiResult<Json<InstalledSkillResponse>> {
    Ok(Json(extensions.install(&caller.tenant, Skill, &body.into_order()?).await?.into()))
}

/// The skills that are installed.
#[utoipa::path(get, path = "/api/skills/installed", tag = "Skills",
    responses((status = 200, body = InstalledSkillsListResponse)))]
pub async fn list_installed_skills(
    State(extensions): State<Extensions>,
    caller: Caller,
) -> ApiResult<Json<InstalledSkillsListResponse>> {
    let all = extensions.installed(&caller.tenant, Skill).await?;
    Ok(Json(InstalledSkillsListResponse { skills: all.into_iter().map(Into::into).collect() }))
}

/// A skill that is installed.
#[utoipa::path(get, path = "/api/skills/installed/{skill_name}", tag = "Skills", params(("skill_name" = String, Path)),
    responses((status = 200, body = InstalledSkillResponse), (status = 404, description = "It is not installed")))]
pub async fn get_installed_skill(
    State(extensions): State<Extensions>,
    caller: Caller,
    Path(name): Path<String>,
) -> ApiResult<Json<InstalledSkillResponse>> {
    check_name(Skill, &name)?;
    Ok(Json(extensions.one(&caller.tenant, Skill, &name).await?.into()))
}

/// Says whether a skill that is installed is used.
#[utoipa::path(patch, path = "/api/skills/installed/{skill_name}", tag = "Skills", params(("skill_name" = String, Path)),
    request_body = SetEnabledRequest,
    responses((status = 200, body = EnabledResponse), (status = 404, description = "It is not installed")))]
pub async fn set_skill_enabled(
    State(extensions): State<Extensions>,
    caller: Caller,
    Path(name): Path<String>,
    Json(SetEnabledRequest { enabled }): Json<SetEnabledRequest>,
) -> ApiResult<Json<EnabledResponse>> {
    installing::set_enabled(&extensions, &caller, Skill, name, enabled).await
}

/// Removes a skill that is installed.
#[utoipa::path(delete, path = "/api/skills/installed/{skill_name}", tag = "Skills", params(("skill_name" = String, Path)),
    responses((status = 200, body = UninstalledResponse), (status = 404, description = "It is not installed")))]
pub async fn uninstall_skill(
    State(extensions): State<Extensions>,
    caller: Caller,
    Path(name): Path<String>,
) -> ApiResult<Json<UninstalledResponse>> {
    installing::uninstall(&extensions, &caller, Skill, &name).await
}

/// Fetches a skill that is installed again from where it came. Where that fails it stays as it is.
#[utoipa::path(post, path = "/api/skills/installed/{skill_name}/refresh", tag = "Skills",
    params(("skill_name" = String, Path)),
    responses((status = 200, body = UpdateSkillResponse), (status = 400, description = "The source cannot be fetched"),
        (status = 404, description = "It is not installed"), (status = 422, description = "It is no skill any more")))]
pub async fn refresh_skill(
    State(extensions): State<Extensions>,
    caller: Caller,
    Path(name): Path<String>,
) -> ApiResult<Json<UpdateSkillResponse>> {
    check_name(Skill, &name)?;
    let skill = extensions.refresh(&caller.tenant, Skill, &name).await?.into();
    Ok(Json(UpdateSkillResponse { message: format!("Skill '{name}' updated"), skill }))
}
