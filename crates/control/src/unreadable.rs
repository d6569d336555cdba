//! Which stored secrets a server with these keys could not open, for who checks that before the server starts. Nothing is written.

use std::sync::Arc;

use futures_util::TryStreamExt;
use ports::{Change, Kv};
use telemetry::metrics::Metrics;
use types::TenantId;
use types::buckets::CONVERSATIONS;
use types::conversation::ConversationRecord;
use vault::Vault;

use crate::Refusal;
use crate::extensions::Installations;
use crate::logins::OpenAiLogins;
use crate::mcp::McpLogins;
use crate::records::Sealer;
use crate::setup::Setup;
use crate::shelf::{Kept, Shelves};
use crate::tenant_secrets::TenantSecrets;

/// What does not open, each in a few words: of whom, and which or how many.
///
/// # Errors
/// Those of the store.
pub async fn unreadable_secrets(kv: Arc<dyn Kv>, vault: Arc<Vault>) -> Result<Vec<String>, Refusal> {
    let shelves = Shelves::new(kv.clone(), vault.clone(), Metrics::default().work);
    let mut told = named(&shelves).await?;
    told.extend(counted::<Setup>(&shelves, "in the settings and profiles").await?);
    told.extend(counted::<OpenAiLogins>(&shelves, "among the logins").await?);
    told.extend(counted::<McpLogins>(&shelves, "among the logins with MCP servers").await?);
    told.extend(counted::<Installations>(&shelves, "in sources of what is installed").await?);
    match conversations(&*kv, &vault).await? {
        0 => {}
        count => told.push(format!("those of {count} conversation(s)")),
    }
    Ok(told)
}

async fn named(shelves: &Shelves) -> Result<Vec<String>, Refusal> {
    let secrets = TenantSecrets::on(shelves.clone());
    let mut told = Vec::new();
    for (tenant, names) in secrets.unopened().await? {
        told.push(match names {
            Some(names) => format!("{} of the tenant {tenant}", names.join(", ")),
            None => damaged("among the named secrets", &tenant),
        });
    }
    Ok(told)
}

async fn counted<T: Kept>(shelves: &Shelves, place: &str) -> Result<Vec<String>, Refusal> {
    let found = shelves.unopened::<T>().await?;
    let told = |(tenant, count): (TenantId, Option<u64>)| match count {
        Some(count) => format!("{count} {place} of the tenant {tenant}"),
        None => damaged(place, &tenant),
    };
    Ok(found.into_iter().map(told).collect())
}

fn damaged(what: &str, tenant: &TenantId) -> String {
    format!("anything {what} of the tenant {tenant} (damaged, or of a newer release)")
}

/// How many conversations have one.
async fn conversations(kv: &dyn Kv, vault: &Vault) -> Result<usize, Refusal> {
    let mut stored = kv.scan(CONVERSATIONS);
    let mut count = 0;
    while let Some(change) = stored.try_next().await? {
        let Change::Put { entry, .. } = change else { continue };
        // What is no record has no secrets that anybody could name.
        let Ok(mut record) = serde_json::from_slice::<ConversationRecord>(&entry.value) else { continue };
        let sealer = Sealer::new(vault, record.id);
        let agent = sealer.open_object(&mut record.agent);
        let secrets = sealer.open_sources(&mut record.secrets);
        let title = record.titling.llm.as_mut().is_none_or(|llm| sealer.open_object(llm));
        count += usize::from(!(agent && secrets && title));
    }
    Ok(count)
}
