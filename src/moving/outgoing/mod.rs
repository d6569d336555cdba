//! Everything that goes out, into a folder that the peer can be started on.

mod commands;
mod conversations;
mod extensions;
mod kept;
mod write;

use std::path::Path;

use anyhow::{Context, ensure};
use types::TenantId;

use super::report::Report;
use super::store::Store;
use super::{INSTALLED, KINDS};

const CONVERSATIONS: &str = "conversations";
const BASH_EVENTS: &str = "bash_events";
/// What the peer calls `OH_PERSISTENCE_DIR`.
const HOME: &str = ".openhands";

/// Whether the folder is new, empty, or has nothing but what is written into it.
///
/// # Errors
/// It has something else.
pub fn check(folder: &Path) -> anyhow::Result<()> {
    let names = super::folder::names(folder).with_context(|| folder.display().to_string())?;
    let strange = names.iter().find(|name| ![CONVERSATIONS, BASH_EVENTS, HOME].contains(&name.as_str()));
    ensure!(
        strange.is_none(),
        "{} is not empty: it has {:?}. Name a new folder, or one that was exported to before.",
        folder.display(),
        strange.map_or("", String::as_str)
    );
    Ok(())
}

/// # Errors
/// Those of the store, and of writing: what cannot be read is told and left out.
pub async fn carry(store: &Store, folder: &Path, tenant: &TenantId) -> anyhow::Result<Report> {
    let mut report = Report::default();
    let home = folder.join(HOME);
    kept::settings(store, &home, tenant, &mut report).await?;
    kept::secrets(store, &home, tenant, &mut report).await?;
    kept::places(store, &home, tenant, &mut report).await?;
    extensions::carry(store, &home, tenant, &mut report).await?;
    conversations::carry(store, &folder.join(CONVERSATIONS), tenant, &mut report).await?;
    commands::carry(store, &folder.join(BASH_EVENTS), tenant, &mut report).await?;
    if store.settings.secret_key.is_none() && store.files_of_conversations().is_some() {
        let key = store.settings.state_dir().join("secret_key");
        let says = format!(
            "secrets in it are sealed with the key in {}: give it to the other server as OH_SECRET_KEY",
            key.display()
        );
        report.note("secrets", says);
    }
    Ok(report)
}
