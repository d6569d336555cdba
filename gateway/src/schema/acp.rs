//! Questions to agents behind the Agent Client Protocol, as the document describes them: settings are checked by a form.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use types::secrets::SecretSource;

/// An agent, as settings describe it, and its secrets.
#[derive(utoipa::ToSchema)]
pub struct ACPModelDiscoveryRequest {
    agent_settings: Map<String, Value>,
    #[schema(required = false)]
    secrets: BTreeMap<String, SecretSource>,
    /// Whether what was answered lately will not do.
    #[schema(required = false)]
    refresh: bool,
}
