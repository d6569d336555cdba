//! Plugins that are found in folders, and those of the public catalogue.

use std::collections::HashSet;

use axum::extract::State;
use control::extensions::Extensions;
use serde::{Deserialize, Serialize};
use types::extensions::{Brief, ExtensionKind, Plugin};

use crate::auth::Caller;
use crate::error::ApiResult;
use crate::extract::Json;

#[derive(Deserialize, utoipa::ToSchema)]
pub struct PluginsRequest {
    #[serde(default = "yes")]
    load_user: bool,
    #[serde(default = "yes")]
    load_project: bool,
    /// The folder of the project.
    project_dir: Option<String>,
}

fn yes() -> bool {
    true
}

#[derive(Serialize, utoipa::ToSchema)]
pub struct PluginsResponse {
    plugins: Vec<Plugin>,
}

#[derive(Serialize, utoipa::ToSchema)]
pub struct PluginMarketplaceResponse {
    plugins: Vec<MarketplacePlugin>,
}

#[derive(Serialize, utoipa::ToSchema)]
pub struct MarketplacePlugin {
    name: String,
    description: Option<String>,
    source: String,
    r#ref: Option<String>,
    repo_path: Option<String>,
    installed: bool,
    /// Where the catalogue itself has it.
    path: Option<String>,
    skills: Option<Vec<Brief>>,
    files: Option<Vec<String>>,
}

/// The plugins of the user, with those that are installed and enabled, and of a project.
#[utoipa::path(post, path = "/api/plugins", tag = "Plugins", request_body = PluginsRequest,
    responses((status = 200, body = PluginsResponse)))]
pub async fn get_plugins(
    State(extensions): State<Extensions>,
    caller: Caller,
    Json(body): Json<PluginsRequest>,
) -> ApiResult<Json<PluginsResponse>> {
    let project_dir = body.project_dir.filter(|dir| body.load_project && !dir.is_empty());
    let plugins = extensions.plugins(&caller.tenant, body.load_user, project_dir).await?;
    Ok(Json(PluginsResponse { plugins }))
}

/// The plugins that the public catalogue offers, and which of them are installed.
#[utoipa::path(get, path = "/api/plugins/marketplace", tag = "Plugins",
    responses((status = 200, body = PluginMarketplaceResponse)))]
pub async fn get_plugin_marketplace(
    State(extensions): State<Extensions>,
    caller: Caller,
) -> ApiResult<Json<PluginMarketplaceResponse>> {
    let offered = extensions.offered(&caller.tenant).await?;
    let known = extensions.installed(&caller.tenant, ExtensionKind::Plugin).await?;
    let known: HashSet<&str> = known.iter().map(|one| one.name.as_str()).collect();
    let plugins = offered.into_iter().filter(|offered| offered.is_plugin).map(|offered| {
        let (path, skills, files) = match offered.contents {
            Some(Plugin { path, skills, files, .. }) => (Some(path), Some(skills), Some(files)),
            None => (None, None, None),
        };
        MarketplacePlugin {
            installed: known.contains(offered.name.as_str()),
            name: offered.name,
            description: offered.description,
            source: offered.source,
            r#ref: offered.reference,
            repo_path: offered.repo_path,
            path,
            skills,
            files,
        }
    });
    Ok(Json(PluginMarketplaceResponse { plugins: plugins.collect() }))
}
