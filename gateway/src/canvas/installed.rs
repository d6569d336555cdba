//! Extensions of the user interface that are installed.

use axum::extract::State;
use control::apps::Apps;
use control::extensions::{Extensions, Installed};
use http::StatusCode;
use serde::Serialize;
use serde_json::Value;
use types::extensions::Contents;
use types::extensions::ExtensionKind::Canvas;

use crate::auth::Caller;
use crate::error::{ApiError, ApiResult};
use crate::extract::{Json, Path};
use crate::ingress::Ingress;
use crate::installing::{
    self, EnabledResponse, InstallExtensionRequest, SetEnabledRequest, UninstalledResponse, check_name,
};

/// What is replaced must not be in use.
const RUNNING: &str = "Stop running Canvas App backends before a forced install";

#[derive(Serialize, utoipa::ToSchema)]
pub struct InstalledCanvasExtensionResponse {
    name: String,
    version: String,
    description: String,
    enabled: bool,
    source: String,
    requested_ref: Option<String>,
    /// The commit.
    resolved_ref: Option<String>,
    repo_path: Option<String>,
    installed_at: String,
    install_path: String,
    /// What it says of itself.
    manifest: Option<Value>,
}

#[derive(Serialize, utoipa::ToSchema)]
pub struct InstalledCanvasExtensionsListResponse {
    canvas_extensions: Vec<InstalledCanvasExtensionResponse>,
}

/// With what is in it; null where its manifest cannot be read.
async fn shown(
    extensions: &Extensions,
    caller: &Caller,
    one: Installed,
) -> ApiResult<InstalledCanvasExtensionResponse> {
    let manifest = match extensions.contents(&caller.tenant, &one).await? {
        Some(Contents::Canvas { manifest }) => Some(manifest),
        _ => None,
    };
    Ok(InstalledCanvasExtensionResponse {
        name: one.name,
        version: one.version,
        description: one.description,
        enabled: one.enabled,
        source: one.source,
        requested_ref: one.requested_ref,
        resolved_ref: one.resolved_ref,
        repo_path: one.repo_path,
        installed_at: one.installed_at,
        install_path: one.install_path,
        manifest,
    })
}

/// Installs an extension of the user interface, which is not enabled then, from a repository or a folder.
#[utoipa::path(post, path = "/api/canvas-extensions/install", tag = "Canvas Extensions", request_body = InstallExtensionRequest,
    responses((status = 200, body = InstalledCanvasExtensionResponse), (status = 400, description = "The source cannot be fetched"),
        (status = 409, description = "It is installed already"), (status = 413, description = "It is too large"),
        (status = 422, description = "It is no extension")))]
pub async fn install_canvas_extension(
    State(extensions): State<Extensions>,
    State(apps): State<Apps>,
    caller: Caller,
    Json(body): Json<InstallExtensionRequest>,
) -> ApiResult<Json<InstalledCanvasExtensionResponse>> {
    let order = body.into_order()?;
    if order.force && apps.are_running(&caller.tenant).await? {
        return Err(ApiError::new(StatusCode::CONFLICT, RUNNING));
    }
    let one = extensions.install(&caller.tenant, Canvas, &order).await?;
    // What was approved of an earlier one was that one; and one may have been about to start.
    forget(&apps, &caller, &one.name).await;
    Ok(Json(shown(&extensions, &caller, one).await?))
}

/// The extensions of the user interface that are installed.
#[utoipa::path(get, path = "/api/canvas-extensions/installed", tag = "Canvas Extensions",
    responses((status = 200, body = InstalledCanvasExtensionsListResponse)))]
pub async fn list_installed_canvas_extensions(
    State(extensions): State<Extensions>,
    caller: Caller,
) -> ApiResult<Json<InstalledCanvasExtensionsListResponse>> {
    let all = extensions.installed(&caller.tenant, Canvas).await?;
    let mut canvas_extensions = Vec::new();
    for one in all {
        canvas_extensions.push(shown(&extensions, &caller, one).await?);
    }
    Ok(Json(InstalledCanvasExtensionsListResponse { canvas_extensions }))
}

/// An extension that is installed.
#[utoipa::path(get, path = "/api/canvas-extensions/installed/{extension_name}", tag = "Canvas Extensions", params(("extension_name" = String, Path)),
    responses((status = 200, body = InstalledCanvasExtensionResponse), (status = 404, description = "It is not installed")))]
pub async fn get_installed_canvas_extension(
    State(extensions): State<Extensions>,
    caller: Caller,
    Path(name): Path<String>,
) -> ApiResult<Json<InstalledCanvasExtensionResponse>> {
    check_name(Canvas, &name)?;
    let one = extensions.one(&caller.tenant, Canvas, &name).await?;
    Ok(Json(shown(&extensions, &caller, one).await?))
}

/// Says whether an extension that is installed is used.
#[utoipa::path(patch, path = "/api/canvas-extensions/installed/{extension_name}", tag = "Canvas Extensions", params(("extension_name" = String, Path)),
    request_body = SetEnabledRequest,
    responses((status = 200, body = EnabledResponse), (status = 404, description = "It is not installed")))]
pub async fn set_canvas_extension_enabled(
    State(extensions): State<Extensions>,
    State(apps): State<Apps>,
    State(ingress): State<Ingress>,
    caller: Caller,
    Path(name): Path<String>,
    Json(SetEnabledRequest { enabled }): Json<SetEnabledRequest>,
) -> ApiResult<Json<EnabledResponse>> {
    check_name(Canvas, &name)?;
    if enabled {
        return installing::set_enabled(&extensions, &caller, Canvas, name, true).await;
    }
    stop(&apps, &ingress, &caller, &name).await?;
    let answer = installing::set_enabled(&extensions, &caller, Canvas, name.clone(), false).await?;
    // One that was about to start before.
    stop(&apps, &ingress, &caller, &name).await?;
    Ok(answer)
}

/// Removes an extension that is installed.
#[utoipa::path(delete, path = "/api/canvas-extensions/installed/{extension_name}", tag = "Canvas Extensions", params(("extension_name" = String, Path)),
    responses((status = 200, body = UninstalledResponse), (status = 404, description = "It is not installed")))]
pub async fn uninstall_canvas_extension(
    State(extensions): State<Extensions>,
    State(apps): State<Apps>,
    State(ingress): State<Ingress>,
    caller: Caller,
    Path(name): Path<String>,
) -> ApiResult<Json<UninstalledResponse>> {
    check_name(Canvas, &name)?;
    stop(&apps, &ingress, &caller, &name).await?;
    let answer = installing::uninstall(&extensions, &caller, Canvas, &name).await?;
    ingress.end_all(&caller.tenant, &name);
    forget(&apps, &caller, &name).await;
    Ok(answer)
}

/// What is installed or gone is so, whether its worker can be told or not.
async fn forget(apps: &Apps, caller: &Caller, name: &str) {
    if let Err(refusal) = apps.forget(&caller.tenant, name).await {
        tracing::warn!(?refusal, "the program of an extension that is another one now or gone is left");
    }
}

/// Its program does not outlive its use. What that has written stays.
async fn stop(apps: &Apps, ingress: &Ingress, caller: &Caller, name: &str) -> ApiResult<()> {
    ingress.end_all(&caller.tenant, name);
    Ok(apps.stop(&caller.tenant, name).await?)
}
