//! What the server says about itself.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use control::Activity;
use http::{HeaderMap, header};
use serde::Serialize;

use crate::console;
use crate::extract::Json;
use crate::handles::About;
use crate::rooms;
use crate::ui::Ui;

/// The version of the API that is spoken here; clients compare it.
pub(crate) const API_LEVEL: &str = "1.58.2";

/// Of what is no room.
const CAPABILITIES: [&str; 3] =
    ["conversation_runtime_routes_v1", "idempotent_conversation_create_v1", "tool_catalog_v1"];

/// Where there is an ingress for programs of extensions.
const APP_BACKENDS: &str = "canvas_app_backend_bridge_v1";

/// A terminal's call may take this share of the time after which the machine is put to sleep.
const FOREGROUND_SHARE: f64 = 0.9;

#[derive(Serialize, utoipa::ToSchema)]
pub struct ServerInfo {
    /// Whole seconds.
    uptime: f64,
    /// Whole seconds.
    idle_time: f64,
    title: String,
    version: String,
    sdk_version: String,
    tools_version: String,
    workspace_version: String,
    build_git_sha: String,
    build_git_ref: String,
    python_version: String,
    usable_tools: Vec<String>,
    runtime_idle_timeout_seconds: Option<f64>,
    conversation_runtime: String,
    available_conversation_runtimes: Vec<String>,
    capabilities: Vec<String>,
    app_backend_ingress_url: Option<String>,
    max_foreground_terminal_timeout_seconds: Option<f64>,
    docs: String,
    redoc: String,
}

/// What this server is and can do.
#[utoipa::path(get, path = "/server_info", tag = "Server Details", security(()), responses((status = 200, body = ServerInfo)))]
pub async fn get_server_info(
    State(about): State<About>,
    State(activity): State<Activity>,
) -> Json<ServerInfo> {
    Json(describe(&about, &activity))
}

/// What this server is and can do; browsers are shown the console, or the interface that the operator has named.
#[utoipa::path(get, path = "/", operation_id = "get_server_info", tag = "Server Details", security(()), responses((status = 200, body = ServerInfo)))]
pub async fn get_root(
    State(about): State<About>,
    State(activity): State<Activity>,
    State(ui): State<Ui>,
    headers: HeaderMap,
) -> Response {
    if console::is_wanted(&headers) {
        return ui.first_page(&headers).await.unwrap_or_else(console::page);
    }
    ([(header::VARY, "accept")], Json(describe(&about, &activity))).into_response()
}

fn describe(about: &About, activity: &Activity) -> ServerInfo {
    let level = || API_LEVEL.to_owned();
    let runtimes = about.runtimes;
    let ingress = about.ingress.public();
    let capabilities =
        CAPABILITIES.into_iter().chain(ingress.map(|_| APP_BACKENDS)).chain(rooms::capabilities());
    let usable = about.offer.tools.iter().filter(|tool| tool.usable == Some(true));
    ServerInfo {
        uptime: whole(activity.uptime()),
        idle_time: whole(activity.idle()),
        title: "Manyhands Agent Server".to_owned(),
        version: level(),
        sdk_version: level(),
        tools_version: level(),
        workspace_version: level(),
        build_git_sha: about.build_git_sha.to_string(),
        build_git_ref: about.build_git_ref.to_string(),
        python_version: format!("none (manyhands {})", env!("CARGO_PKG_VERSION")),
        usable_tools: usable.map(|tool| tool.name.clone()).collect(),
        runtime_idle_timeout_seconds: about.runtime_idle_timeout_seconds,
        conversation_runtime: runtimes.default.to_owned(),
        available_conversation_runtimes: runtimes.choice.iter().copied().map(str::to_owned).collect(),
        capabilities: capabilities.map(str::to_owned).collect(),
        app_backend_ingress_url: ingress.map(|ingress| ingress.url.clone()),
        max_foreground_terminal_timeout_seconds: about
            .runtime_idle_timeout_seconds
            .map(|seconds| seconds * FOREGROUND_SHARE),
        docs: "/docs".to_owned(),
        redoc: "/redoc".to_owned(),
    }
}

fn whole(seconds: u64) -> f64 {
    f64::from(u32::try_from(seconds).unwrap_or(u32::MAX))
}
