//! The rooms of the control plane: one handle for each kind of thing that clients keep or have looked at beside conversations
//! and commands. All are made from the same ground.

use crate::acp::AcpModels;
use crate::apps::Apps;
use crate::catalogue::Catalogue;
use crate::extensions::{Extensions, Installations};
use crate::ground::Ground;
use crate::launch::Launch;
use crate::logins::{Logins, OpenAiLogins};
use crate::mcp::{McpLogins, McpServers};
use crate::repositories::Repositories;
use crate::setup::{Setup, Setups};
use crate::shelf::{SealedWith, Shelves};
use crate::tenant_secrets::{NamedSecrets, TenantSecrets};
use crate::workspaces::Workspaces;

/// All of them. Cheap to clone.
#[derive(Clone)]
pub struct Rooms {
    pub shelves: Shelves,
    pub acp: AcpModels,
    pub apps: Apps,
    pub catalogue: Catalogue,
    pub extensions: Extensions,
    pub launch: Launch,
    pub logins: Logins,
    pub mcp: McpServers,
    pub repositories: Repositories,
    pub secrets: TenantSecrets,
    pub setups: Setups,
    pub workspaces: Workspaces,
}

impl Rooms {
    pub(crate) fn new(ground: &Ground) -> Self {
        let extensions = Extensions::new(ground);
        Self {
            shelves: ground.shelves.clone(),
            acp: AcpModels::new(ground),
            apps: Apps::new(ground),
            catalogue: Catalogue::new(ground),
            launch: Launch::new(ground, extensions.clone()),
            extensions,
            logins: Logins::new(ground),
            mcp: McpServers::new(ground),
            repositories: Repositories::new(ground),
            secrets: TenantSecrets::new(ground),
            setups: Setups::new(ground),
            workspaces: Workspaces::new(ground),
        }
    }

    /// Which keys open what all tenants keep.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn sealed_with(shelves: &Shelves) -> ports::Result<SealedWith> {
        let mut with = shelves.sealed_with::<Setup>().await?;
        with += shelves.sealed_with::<NamedSecrets>().await?;
        with += shelves.sealed_with::<OpenAiLogins>().await?;
        with += shelves.sealed_with::<McpLogins>().await?;
        with += shelves.sealed_with::<Installations>().await?;
        Ok(with)
    }

    /// After a start with a new secret key: what only a previous one opens is sealed with it. What cannot be opened at all is
    /// reported.
    pub(crate) async fn seal_anew(self) {
        let settings = self.shelves.rotate::<Setup>().await;
        let secrets = self.shelves.rotate::<NamedSecrets>().await;
        let openai = self.shelves.rotate::<OpenAiLogins>().await;
        let mcp = self.shelves.rotate::<McpLogins>().await;
        let sources = self.shelves.rotate::<Installations>().await;
        let failed = [settings.err(), secrets.err(), openai.err(), mcp.err(), sources.err()];
        for failed in failed.into_iter().flatten() {
            tracing::warn!(?failed, "stored secrets could not be looked through; the next start tries again");
        }
    }

    /// Removes what installations that were cut off have left.
    pub(crate) async fn sweep(self) {
        match self.extensions.sweep().await {
            Ok(0) => {}
            Ok(pieces) => tracing::info!(pieces, "removed what installations that were cut off had left"),
            Err(failed) => tracing::warn!(?failed, "what installations have left was not looked for"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ports::Expect;
    use serde_json::{Value, json};
    use telemetry::metrics::Metrics;
    use types::TenantId;
    use types::buckets::SECRETS;
    use vault::Vault;

    use super::*;
    use crate::shelf::Kept;
    use crate::workspaces::Folders;

    #[tokio::test]
    async fn an_older_release_keeps_what_it_does_not_know_in_each_thing() {
        fn written_again<T: Kept>(stored: &Value) -> Value {
            serde_json::to_value(serde_json::from_value::<T>(stored.clone()).unwrap()).unwrap()
        }
        let folder = json!({"id": "1", "name": "n", "path": "/w", "added": true});
        let folders = json!({"workspaces": [folder], "parents": [folder]});
        let again = written_again::<Folders>(&folders);
        assert_eq!((&again["workspaces"], &again["parents"]), (&folders["workspaces"], &folders["parents"]));
        let connections = json!([{"id": "c", "display_name": "C", "provider": "p", "api_key": "sealed", "base_url": null,
            "created_at": 1, "updated_at": 2, "added": {"later": true}}]);
        let setup = json!({ "connections": connections });
        assert_eq!(written_again::<Setup>(&setup)["connections"], connections);

        let tenant = TenantId::default();
        let dir = tempfile::tempdir().unwrap();
        let options = embedded::Options::within(dir.path(), embedded::Fsync::Always);
        let (ports, _store) = embedded::open(options).await.unwrap();
        let vault = Arc::new(Vault::new(&"k".into(), &[]));
        let shelves = Shelves::new(ports.kv.clone(), vault, Metrics::default().work);
        let stored = json!({"secrets": [{"name": "A", "value": "sealed", "description": null, "added": 7}]});
        ports.kv.put(SECRETS, tenant.as_str(), stored.to_string().into(), Expect::Absent).await.unwrap();
        let secrets = TenantSecrets::on(shelves);
        secrets.put(&tenant, "A", &"new".into(), Some("said")).await.unwrap();
        let stored = ports.kv.get(SECRETS, tenant.as_str()).await.unwrap().unwrap().value;
        let stored: Value = serde_json::from_slice(&stored).unwrap();
        let secret = &stored["secrets"][0];
        assert_eq!((&secret["added"], &secret["description"]), (&json!(7), &json!("said")));
    }
}
