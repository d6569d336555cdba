//! The rooms of the control plane: one handle for each kind of thing that clients keep or have looked at beside conversations
//! and commands. All are made from the same ground.

use crate::acp::AcpModels;
use crate::apps::Apps;
use crate::catalogue::Catalogue;
use crate::extensions::{Extensions, Installations};
use crate::ground::Ground;
use crate::launch::Launch;
use crate::logins::{Logins, OpenAiLogins};
use crate::mcp::McpServers;
use crate::repositories::Repositories;
use crate::setup::{Setup, Setups};
use crate::shelf::Shelves;
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
        Self {
            shelves: ground.shelves.clone(),
            acp: AcpModels::new(ground),
            apps: Apps::new(ground),
            catalogue: Catalogue::new(ground),
            extensions: Extensions::new(ground),
            launch: Launch::new(ground),
            logins: Logins::new(ground),
            mcp: McpServers::new(ground),
            repositories: Repositories::new(ground),
            secrets: TenantSecrets::new(ground),
            setups: Setups::new(ground),
            workspaces: Workspaces::new(ground),
        }
    }

    /// After a start with a new secret key: what only a previous one opens is sealed with it. What cannot be opened at all is
    /// reported.
    pub(crate) async fn seal_anew(self) {
        let settings = self.shelves.rotate::<Setup>().await;
        let secrets = self.shelves.rotate::<NamedSecrets>().await;
        let logins = self.shelves.rotate::<OpenAiLogins>().await;
        let sources = self.shelves.rotate::<Installations>().await;
        let failed = [settings.err(), secrets.err(), logins.err(), sources.err()];
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
