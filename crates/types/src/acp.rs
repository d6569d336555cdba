//! What agents behind the Agent Client Protocol offer, and how they are started.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How an agent is started, its secrets in plain text.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcpProgram {
    pub command: Vec<String>,
    /// Started instead where its first word is a program on the search path.
    pub preferred: Option<Vec<String>>,
    pub env: BTreeMap<String, String>,
    /// Variables that it does not inherit.
    pub without: Vec<String>,
    pub files: Vec<AcpFile>,
    /// The variable that says where it keeps its data, and a name for a folder of its own.
    pub data_folder: Option<(String, String)>,
}

/// A secret that an agent reads from a file.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcpFile {
    pub folder: String,
    pub name: String,
    /// The variable that says where it is, and whether that is its folder.
    pub variable: String,
    pub is_folder_named: bool,
    pub text: String,
}

/// What an agent says of itself, or why it says nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = ACPModelDiscovery))]
pub struct AcpDiscovery {
    pub agent_name: Option<String>,
    pub agent_version: Option<String>,
    /// The model that it takes where nobody says another.
    pub current_model_id: Option<String>,
    pub available_models: Vec<AcpModel>,
    /// Whether a conversation can change between them.
    pub supports_runtime_model_switch: bool,
    pub error: Option<AcpFailure>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = ACPModelInfo))]
pub struct AcpModel {
    pub model_id: String,
    pub name: Option<String>,
    pub description: Option<String>,
}

/// Why an agent says nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = ACPModelDiscoveryError))]
pub struct AcpFailure {
    /// `ACPAuthRequired`, `ACPStartupTimeout`, `ACPSpawnError` or `ACPInitError`.
    pub code: String,
    pub detail: String,
}
