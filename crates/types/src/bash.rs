//! Commands run over the API (not the agent's terminal). Ids are 32 hexadecimal digits; nulls are kept.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExecuteBashRequest {
    #[cfg_attr(feature = "openapi", schema(pattern = "^[^\\u0000]*$"))]
    pub command: String,
    #[serde(default)]
    pub cwd: Option<String>,
    /// Seconds until the command is stopped; 0 or less stops it at once.
    #[serde(default = "default_timeout")]
    pub timeout: i64,
}

fn default_timeout() -> i64 {
    300
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BashCommand {
    pub command: String,
    pub cwd: Option<String>,
    pub timeout: i64,
    pub id: String,
    /// UTC with `Z`.
    pub timestamp: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BashOutput {
    pub id: String,
    /// UTC with `Z`.
    pub timestamp: String,
    pub command_id: String,
    /// 0, 1, 2 … over both streams of a command.
    pub order: u64,
    /// Only on a command's last output. -N: ended by signal N; -1: timed out or not started.
    pub exit_code: Option<i32>,
    pub stdout: Option<String>,
    pub stderr: Option<String>,
}

/// One record of a `_bash` log, and one frame of the bash socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind")]
pub enum BashEvent {
    BashCommand(BashCommand),
    BashOutput(BashOutput),
}

impl BashEvent {
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            Self::BashCommand(command) => &command.id,
            Self::BashOutput(output) => &output.id,
        }
    }

    #[must_use]
    pub fn timestamp(&self) -> &str {
        match self {
            Self::BashCommand(command) => &command.timestamp,
            Self::BashOutput(output) => &output.timestamp,
        }
    }
}
