//! Plugins that are installed.

use axum::extract::State;
use control::extensions::{Extensions, Installed};
use serde::Serialize;
use types::extensions::ExtensionKind::Plugin;
use types::extensions::{Brief, Contents};

use crate::auth::Caller;
use crate::error::ApiResult;
use crate::extract::{Json, Path};
use crate::installing::{
    self, EnabledResponse, InstallExtensionRequest, SetEnabledRequest, UninstalledResponse, check_name,
};

#[derive(Serialize, utoipa::ToSchema)]
pub struct InstalledPluginResponse {
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
    skills: Option<Vec<Brief>>,
    /// Below its folder.
    files: Option<Vec<String>>,
}

#[derive(Serialize, utoipa::ToSchema)]
pub struct InstalledPluginsListResponse {
    plugins: Vec<InstalledPluginResponse>,
}

#[derive(Serialize, utoipa::ToSchema)]
pub struct UpdatePluginResponse {
    message: String,
    plugin: InstalledPluginResponse,
}

/// With what is in it; null where that cannot be read.
async fn shown(
    extensions: &Extensions,
    caller: &Caller,
    one: Installed,
) -> ApiResult<InstalledPluginResponse> {
    let (skills, files) = match extensions.contents(&caller.tenant, &one).await? {
        Some(Contents::Plugin { skills, files }) => (Some(skills), Some(files)),
        _ => (None, None),
    };
    Ok(InstalledPluginResponse {
        name: one.name,
        version: one.version,
        description: one.description,
        enabled: one.enabled,
        source: one.source,
        resolved_ref: one.resolved_ref,
        repo_path: one.repo_path,
        installed_at: one.installed_at,
        install_path: one.install_path,
        skills,
        files,
    })
}

/// Installs a plugin from a repository or a folder.
#[utoipa::path(post, path = "/api/plugins/install", tag = "Plugins", request_body = InstallExtensionRequest,
    responses((status = 200, body = InstalledPluginResponse), (status = 400, description = "The source cannot be fetched"),
        (status = 409, description = "It is installed already"), (status = 413, description = "It is too large"),
        (status = 422, description = "It is no plugin")))]
pub async fn install_plugin(
    State(extensions): State<Extensions>,
    caller: Caller,
    Json(body): Json<InstallExtensionRequest>,
) -> ApiResult<Json<InstalledPluginResponse>> {
    let one = extensions.install(&caller.tenant, Plugin, &body.into_order()?).await?;
    Ok(Json(shown(&extensions, &caller, one).await?))
}

/// The plugins that are installed.
#[utoipa::path(get, path = "/api/plugins/installed", tag = "Plugins",
    responses((status = 200, body = InstalledPluginsListResponse)))]
pub async fn list_installed_plugins(
    State(extensions): State<Extensions>,
    caller: Caller,
) -> ApiResult<Json<InstalledPluginsListResponse>> {
    let all = extensions.installed(&caller.tenant, Plugin).await?;
    let mut plugins = Vec::new();
    for one in all {
        plugins.push(shown(&extensions, &caller, one).await?);
    }
    Ok(Json(InstalledPluginsListResponse { plugins }))
}

/// A plugin that is installed.
#[utoipa::path(get, path = "/api/plugins/installed/{plugin_name}", tag = "Plugins", params(("plugin_name" = String, Path)),
    responses((status = 200, body = InstalledPluginResponse), (status = 404, description = "It is not installed")))]
pub async fn get_installed_plugin(
    State(extensions): State<Extensions>,
    caller: Caller,
    Path(name): Path<String>,
) -> ApiResult<Json<InstalledPluginResponse>> {
    check_name(Plugin, &name)?;
    let one = extensions.one(&caller.tenant, Plugin, &name).await?;
    Ok(Json(shown(&extensions, &caller, one).await?))
}

/// Says whether a plugin that is installed is used.
#[utoipa::path(patch, path = "/api/plugins/installed/{plugin_name}", tag = "Plugins", params(("plugin_name" = String, Path)),
    request_body = SetEnabledRequest,
    responses((status = 200, body = EnabledResponse), (status = 404, description = "It is not installed")))]
pub async fn set_plugin_enabled(
    State(extensions): State<Extensions>,
    caller: Caller,
    Path(name): Path<String>,
    Json(SetEnabledRequest { enabled }): Json<SetEnabledRequest>,
) -> ApiResult<Json<EnabledResponse>> {
    installing::set_enabled(&extensions, &caller, Plugin, name, enabled).await
}

/// Removes a plugin that is installed.
#[utoipa::path(delete, path = "/api/plugins/installed/{plugin_name}", tag = "Plugins", params(("plugin_name" = String, Path)),
    responses((status = 200, body = UninstalledResponse), (status = 404, description = "It is not installed")))]
pub async fn uninstall_plugin(
    State(extensions): State<Extensions>,
    caller: Caller,
    Path(name): Path<String>,
) -> ApiResult<Json<UninstalledResponse>> {
    installing::uninstall(&extensions, &caller, Plugin, &name).await
}

/// Fetches a plugin that is installed again from where it came. Where that fails it stays as it is.
#[utoipa::path(post, path = "/api/plugins/installed/{plugin_name}/refresh", tag = "Plugins",
    params(("plugin_name" = String, Path)),
    responses((status = 200, body = UpdatePluginResponse), (status = 400, description = "The source cannot be fetched"),
        (status = 404, description = "It is not installed"), (status = 422, description = "It is no plugin any more")))]
pub async fn refresh_plugin(
    State(extensions): State<Extensions>,
    caller: Caller,
    Path(name): Path<String>,
) -> ApiResult<Json<UpdatePluginResponse>> {
    check_name(Plugin, &name)?;
    let one = extensions.refresh(&caller.tenant, Plugin, &name).await?;
    let plugin = shown(&extensions, &caller, one).await?;
    Ok(Json(UpdatePluginResponse { message: format!("Plugin '{name}' updated"), plugin }))
}
