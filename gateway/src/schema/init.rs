//! What servers that wait for their settings are told, and what they say of themselves.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{ApiError, ApiResult};

/// Bytes of a variable. No program starts with one of more than twice that.
const MOST_OF_A_VARIABLE: usize = 64 << 10;
/// Bytes of all of them.
const MOST_OF_VARIABLES: usize = 256 << 10;

/// What a server that waits is told. What is left out stays as it was when the server was started.
#[derive(Clone, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InitRequest {
    pub session_api_keys: Option<Vec<String>>,
    /// A blank one is none.
    pub secret_key: Option<String>,
    pub previous_secret_keys: Option<Vec<String>>,
    pub conversations_path: Option<String>,
    pub bash_events_dir: Option<String>,
    pub conversation_worktree_root: Option<String>,
    /// Who is told of conversations, as in the setting `OH_WEBHOOKS`.
    pub webhooks: Option<Vec<Value>>,
    pub web_url: Option<String>,
    pub allow_cors_origins: Option<Vec<String>>,
    pub max_concurrent_runs: Option<u64>,
    /// What programs of agents inherit beside the usual: 64 KiB a variable, 256 KiB in all. Of this server's own variables its
    /// settings are read; no other changes what the server itself does.
    pub env: Option<BTreeMap<String, String>>,
    /// Taken and not acted on: this server tells nobody of its use.
    pub telemetry: Option<Value>,
}

impl InitRequest {
    /// # Errors
    /// 422 for a key that would open the server to whoever sends none, and for variables with which no program could start.
    pub fn check(&self) -> ApiResult<()> {
        if self.session_api_keys.iter().flatten().any(|key| key.trim().is_empty()) {
            return Err(ApiError::unprocessable("session_api_keys cannot contain empty keys"));
        }
        let sizes = self.env.iter().flatten().map(|(name, value)| name.len() + value.len());
        let is_bounded = sizes.clone().all(|size| size <= MOST_OF_A_VARIABLE);
        match is_bounded && sizes.sum::<usize>() <= MOST_OF_VARIABLES {
            true => Ok(()),
            false => Err(ApiError::unprocessable("env may hold 64 KiB a variable, and 256 KiB in all")),
        }
    }
}

#[derive(Clone, Serialize, utoipa::ToSchema)]
pub struct InitStatus {
    pub state: InitState,
    /// Why the last attempt to start failed.
    pub error: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum InitState {
    Dormant,
    Initializing,
    Ready,
}

impl InitStatus {
    pub const READY: Self = Self { state: InitState::Ready, error: None };
}

impl InitState {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dormant => "dormant",
            Self::Initializing => "initializing",
            Self::Ready => "ready",
        }
    }

    /// Why settings are not taken.
    pub fn in_the_way(self) -> String {
        format!("server already in state: {}", self.name())
    }
}
