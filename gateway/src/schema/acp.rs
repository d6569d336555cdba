//! Questions to agents behind the Agent Client Protocol, as the document describes them: settings are checked by a form.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use types::secrets::SecretSource;

/// An agent, as settings describe it, and its secrets.
#[derive(utoipa::ToSchema)]
pub struct ACPModelDiscoveryRequest {
    agent_settings: Map<String, Value>,
    secrets: Option<BTreeMap<String, SecretSource>>,
    /// Whether what was answered lately will not do.
    refresh: Option<bool>,
}
