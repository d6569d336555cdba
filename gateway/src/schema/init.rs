//! What servers that wait to be configured are told, as the document shows it.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

/// What a server that waits to be configured is told.
#[derive(Serialize, utoipa::ToSchema)]
pub struct InitRequest {
    pub session_api_keys: Option<Vec<String>>,
    pub secret_key: Option<String>,
    pub previous_secret_keys: Option<Vec<String>>,
    pub conversations_path: Option<String>,
    pub bash_events_dir: Option<String>,
    pub conversation_worktree_root: Option<String>,
    pub webhooks: Option<Vec<Value>>,
    pub web_url: Option<String>,
    pub allow_cors_origins: Option<Vec<String>>,
    pub max_concurrent_runs: Option<u64>,
    pub env: Option<BTreeMap<String, String>>,
    pub telemetry: Option<Value>,
}

#[derive(Serialize, utoipa::ToSchema)]
pub struct InitStatus {
    pub state: InitState,
    pub error: Option<String>,
}

#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum InitState {
    Dormant,
    Initializing,
    Ready,
}
