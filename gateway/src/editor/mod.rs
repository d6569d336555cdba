//! An editor in the browser, on a workspace.

mod place;

use std::time::Duration;

use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use types::SandboxId;
use types::calls::{EditorCall, EditorState};

use crate::config;
use crate::described::{Routes, routes};
use crate::error::{ApiError, ApiResult};
use crate::extract::{Json, Query};
use crate::handles::Editor;
use place::Place;

/// What `/server_info` says of it.
pub const CAPABILITIES: &[&str] = &[];

const DISABLED: &str = "VSCode is disabled in configuration";
const NOT_SERVED: &str = "VSCode is disabled in configuration. Set enable_vscode=true to enable.";

/// What a worker that is awake may take to say whether the editor runs.
const QUICK: Duration = Duration::from_secs(5);

pub fn routes() -> Routes {
    let inner = || Routes::new().routes(routes!(get_vscode_url)).routes(routes!(get_vscode_status));
    Routes::new()
        .nest("/api/vscode", inner())
        .nest("/api/conversations/{runtime_conversation_id}/vscode", inner())
}

impl Editor {
    /// Where the editor is opened; `None` where it does not run and cannot be started.
    async fn url(
        &self,
        sandbox: &SandboxId,
        base_url: Option<&str>,
        folder: &str,
    ) -> ApiResult<Option<String>> {
        let (port, base_path) = match &self.config {
            config::Editor::Disabled => {
                return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, NOT_SERVED));
            }
            config::Editor::Unreachable => return Ok(None),
            config::Editor::Here { port, base_path } => (port, base_path),
        };
        let EditorState { token, .. } = self.workers.call(sandbox, &EditorCall::Start {}).await?;
        let Some(token) = token else { return Ok(None) };
        let base = base_url.map_or_else(|| format!("http://localhost:{port}"), str::to_owned);
        let mut base = base.trim_end_matches('/').to_owned();
        if let Some(path) =
            base_path.as_deref().map(|path| path.trim_matches('/')).filter(|path| !path.is_empty())
        {
            base = format!("{base}/{path}");
        }
        Ok(Some(format!("{base}/?tkn={token}&folder={}", encoded(folder))))
    }

    async fn status(&self, sandbox: &SandboxId) -> VSCodeStatus {
        let is_enabled = self.config != config::Editor::Disabled;
        let mut running = false;
        if matches!(self.config, config::Editor::Here { .. }) {
            let asked = self.workers.call_if_awake(sandbox, &EditorCall::Status {}, QUICK).await;
            // Where no worker answers no editor runs.
            running = asked.is_ok_and(|(state, _): (EditorState, _)| state.running);
        }
        VSCodeStatus { running, enabled: is_enabled, message: (!is_enabled).then_some(DISABLED) }
    }
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct UrlQuery {
    /// Where the editor is reached from outside; by default its port on `localhost`.
    base_url: Option<String>,
    /// The folder to open.
    workspace_dir: Option<String>,
}

#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = VSCodeUrlResponse)]
struct VSCodeUrl {
    url: Option<String>,
}

#[derive(Serialize)]
struct VSCodeStatus {
    running: bool,
    enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'static str>,
}

/// Where the editor is opened. It is started for that; null where there is none.
#[utoipa::path(get, path = "/url", tag = "VSCode", params(UrlQuery),
    responses((status = 200, body = VSCodeUrl), (status = 503, description = "There is no editor by configuration")))]
async fn get_vscode_url(
    State(editor): State<Editor>,
    place: Place,
    Query(query): Query<UrlQuery>,
) -> ApiResult<Json<VSCodeUrl>> {
    let folder = place.folder(query.workspace_dir)?;
    let url = editor.url(&place.sandbox, query.base_url.as_deref(), &folder).await?;
    Ok(Json(VSCodeUrl { url }))
}

/// Whether the editor runs.
#[utoipa::path(get, path = "/status", tag = "VSCode",
    responses((status = 200, body = std::collections::BTreeMap<String, bool>)))]
async fn get_vscode_status(State(editor): State<Editor>, place: Place) -> Json<VSCodeStatus> {
    Json(editor.status(&place.sandbox).await)
}

/// For a query; slashes stay readable.
fn encoded(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte);
    text.bytes()
        .map(|byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_any_name_comes_back_whole() {
        assert_eq!(encoded("/w/a b&c#ä"), "/w/a%20b%26c%23%C3%A4");
    }
}
