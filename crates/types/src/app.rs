//! Programs that extensions of the user interface bring along: what their manifests say of them, and where they stand.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// An installed extension, as far as its program goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct App {
    pub name: String,
    /// Which one is installed: what a user approves is this one and no other.
    pub revision: String,
    /// The folder that it is installed in.
    pub package: String,
    /// `None`: it brings no program along.
    pub backend: Option<AppBackend>,
}

/// What a manifest says of its program.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AppBackend {
    /// By platform.
    pub artifacts: BTreeMap<String, AppArtifact>,
    pub argv: Vec<String>,
    #[serde(default)]
    pub health: AppHealth,
    #[serde(default)]
    pub inherit_environment: Vec<String>,
}

/// A packed folder with the program in it: a file of the extension, or on a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppArtifact {
    #[serde(default)]
    pub path: String,
    #[serde(default)]
    pub url: Option<String>,
    pub sha256: String,
    #[serde(default)]
    pub strip_components: usize,
}

/// How the program tells that it is ready.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AppHealth {
    pub path: String,
    pub timeout_seconds: f64,
    pub interval_seconds: f64,
}

impl Default for AppHealth {
    fn default() -> Self {
        Self { path: "/health".to_owned(), timeout_seconds: 30.0, interval_seconds: 0.1 }
    }
}

/// Where the program of an extension stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = BackendStatus))]
pub struct AppState {
    pub name: String,
    pub state: AppPhase,
    /// The one that is installed.
    pub revision: Option<String>,
    /// The one that was approved and is ready to be started.
    pub prepared_revision: Option<String>,
    pub pid: Option<u32>,
    pub port: Option<u16>,
    /// Why it is so.
    pub detail: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = BackendState))]
#[serde(rename_all = "snake_case")]
pub enum AppPhase {
    /// No such extension is installed.
    Missing,
    #[default]
    Stopped,
    Starting,
    Ready,
    Unhealthy,
    /// It has no program, or none that runs here.
    Unsupported,
}

/// What the program has printed last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = BackendLogs))]
pub struct AppLogs {
    pub name: String,
    pub logs: String,
    /// Whether there was more.
    pub truncated: bool,
}
