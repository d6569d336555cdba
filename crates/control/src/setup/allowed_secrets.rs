//! Which secrets an agent profile may use.

use std::collections::BTreeSet;

use serde_json::Value;
use types::TenantId;

use super::{Setup, Setups};
use crate::Refusal;

impl Setups {
    /// The names of secrets that the agent profile of this id may use; `None`: all.
    ///
    /// # Errors
    /// `Missing`, those of the shelf.
    pub async fn secrets_of_profile(
        &self,
        tenant: &TenantId,
        id: &str,
    ) -> Result<Option<BTreeSet<String>>, Refusal> {
        let setup = self.ground.shelves.read::<Setup>(tenant).await?;
        let is_it = |profile: &&Value| profile.get("id").and_then(Value::as_str) == Some(id);
        let profile = setup.agent_profiles.values().find(is_it);
        let profile = profile.ok_or_else(|| Refusal::Missing("Agent profile not found".to_owned()))?;
        let names = profile.get("secret_refs").and_then(Value::as_array);
        Ok(names.map(|names| names.iter().filter_map(Value::as_str).map(str::to_owned).collect()))
    }
}
