//! Everything that goes out, into a folder that the peer can be started on.

mod commands;
mod conversations;
mod extensions;
mod kept;
mod ledger;
mod write;

use std::path::Path;

use anyhow::{Context, ensure};
use types::TenantId;

use super::report::Report;
use super::store::Store;
use super::{BASH_EVENTS, CONVERSATIONS, HOME, INSTALLED, KINDS};
use ledger::Ledger;
pub use ledger::MARK;

/// Whether the folder is new, empty, or one that was exported to for the same tenant.
///
/// # Errors
/// It has something else.
pub fn check(folder: &Path, tenant: &TenantId) -> anyhow::Result<()> {
    let told = || folder.display().to_string();
    let names = super::folder::names(folder, "").with_context(told)?;
    let names: Vec<&str> = names.iter().map(String::as_str).filter(|name| *name != draft()).collect();
    let strange = names.iter().find(|name| ![CONVERSATIONS, BASH_EVENTS, HOME, MARK].contains(name));
    let strange = strange.or(names.first().filter(|_| !names.contains(&MARK)));
    ensure!(
        strange.is_none(),
        "{} is not empty: it has {:?}. Name a new folder, or one that was exported to before.",
        folder.display(),
        strange.copied().unwrap_or_default()
    );
    Ledger::of(folder)?.check(tenant)
}

/// What was cut off before anything was written.
fn draft() -> String {
    format!(".{MARK}.new")
}

/// # Errors
/// Those of the store, and of writing: what cannot be read is told and left out.
pub async fn carry(store: &Store, folder: &Path, tenant: &TenantId) -> anyhow::Result<Report> {
    let mut report = Report::default();
    let mut ledger = Ledger::of(folder)?;
    ledger.begin(tenant)?;
    kept::settings(store, &mut ledger, tenant, &mut report).await?;
    kept::secrets(store, &mut ledger, tenant, &mut report).await?;
    kept::places(store, &mut ledger, tenant, &mut report).await?;
    extensions::carry(store, &mut ledger, folder, tenant, &mut report).await?;
    conversations::carry(store, folder, tenant, &mut report).await?;
    commands::carry(store, folder, tenant, &mut report).await?;
    write::sync(folder)?;
    if store.settings.secret_key.is_none() && store.files_of_conversations().is_some() {
        let key = crate::serving::key_file(&store.settings);
        let says = format!(
            "secrets in it are sealed with the key in {}: give it to the other server as OH_SECRET_KEY",
            key.display()
        );
        report.note("secrets", says);
    }
    Ok(report)
}
