//! Everything that comes in, in the order in which it refers to each other.

mod appending;
mod commands;
mod conversations;
mod events;
mod extensions;
mod kept;
mod opened;
mod unknown_tools;

use types::TenantId;

use super::report::Report;
use super::store::Store;
use super::{INSTALLED, KINDS, Source, folder, is_same};

/// # Errors
/// Those of the store: what cannot be read is told and left out.
pub async fn bring(store: &Store, source: &Source, tenant: &TenantId) -> anyhow::Result<Report> {
    let mut report = Report::default();
    kept::settings(store, &source.home, tenant, &mut report).await?;
    kept::secrets(store, &source.home, tenant, &mut report).await?;
    kept::places(store, &source.places, tenant, &mut report).await?;
    extensions::bring(store, &source.home, tenant, &mut report).await?;
    conversations::bring(store, &source.conversations, tenant, &mut report).await?;
    commands::bring(store, &source.bash_events, tenant, &mut report).await?;
    Ok(report)
}
