//! What is kept beside conversations, as the peer's files have it.

use std::collections::BTreeMap;

use control::setup::moving::SetupFiles;
use control::tenant_secrets::TenantSecrets;
use control::workspaces::{Folder, Workspaces};
use secrecy::ExposeSecret;
use serde_json::{Map, Value, json};
use types::TenantId;
use vault::PEERS_TENANT;

use super::ledger::Ledger;
use super::{HOME, write};
use crate::moving::report::{Report, over};
use crate::moving::store::Store;

const SETTINGS: &str = "settings and profiles";
const SECRETS: &str = "secrets";
const PLACES: &str = "workspaces";

/// # Errors
/// Those of the store, and of writing.
pub async fn settings(
    store: &Store,
    ledger: &mut Ledger,
    tenant: &TenantId,
    report: &mut Report,
) -> anyhow::Result<()> {
    let carried = control::setup::moving::carry(&store.shelves, tenant).await;
    let SetupFiles { settings, llm_profiles, agent_profiles, meta_profiles, connections } =
        carried.map_err(|refusal| over(&refusal))?;
    if let Some(settings) = settings {
        wrote(ledger, "settings.json", &settings.into(), SETTINGS, 1, report)?;
    }
    profiles(ledger, "profiles", llm_profiles, report)?;
    profiles(ledger, "agent-profiles", agent_profiles, report)?;
    profiles(ledger, "meta-profiles", meta_profiles, report)?;
    let (count, path) = (connections.len(), "provider-connections/provider_connections.json");
    let list = json!({"schema_version": 1, "connections": connections});
    Ok(wrote(ledger, path, &list, SETTINGS, count, report)?)
}

/// Writes a file that holds so many things: none where it had some, for what was deleted here goes from there as well.
fn wrote(
    ledger: &mut Ledger,
    name: &str,
    value: &Value,
    kind: &'static str,
    things: usize,
    report: &mut Report,
) -> std::io::Result<()> {
    let inside = format!("{HOME}/{name}");
    if things == 0 && !ledger.has_written(&inside) {
        return Ok(());
    }
    match ledger.json(&inside, value)? {
        Ok(()) => (0..things).for_each(|_| report.moved(kind)),
        Err(why) => report.left_out(kind, name, why),
    }
    Ok(())
}

fn profiles(
    ledger: &mut Ledger,
    folder: &str,
    profiles: BTreeMap<String, Value>,
    report: &mut Report,
) -> std::io::Result<()> {
    for (name, profile) in profiles {
        if !write::is_name(&name) {
            report.left_out(SETTINGS, &name, "no file can have this name");
            continue;
        }
        wrote(ledger, &format!("{folder}/{name}.json"), &profile, SETTINGS, 1, report)?;
    }
    Ok(())
}

/// # Errors
/// Those of the store, and of writing.
pub async fn secrets(
    store: &Store,
    ledger: &mut Ledger,
    tenant: &TenantId,
    report: &mut Report,
) -> anyhow::Result<()> {
    let kept = TenantSecrets::on(store.shelves.clone());
    let mut secrets = Map::new();
    for listed in kept.list(tenant).await.map_err(|refusal| over(&refusal))? {
        let value = kept.value(tenant, &listed.name).await.map_err(|refusal| over(&refusal))?;
        let token = store.vault.token(value.expose_secret(), PEERS_TENANT);
        let secret = json!({"name": listed.name, "secret": token, "description": listed.description});
        secrets.insert(listed.name, secret);
    }
    let count = secrets.len();
    Ok(wrote(ledger, "secrets.json", &json!({"custom_secrets": secrets}), SECRETS, count, report)?)
}

/// # Errors
/// Those of the store, and of writing.
pub async fn places(
    store: &Store,
    ledger: &mut Ledger,
    tenant: &TenantId,
    report: &mut Report,
) -> anyhow::Result<()> {
    let all = Workspaces::on(store.shelves.clone()).all(tenant).await.map_err(|refusal| over(&refusal))?;
    let listed = |folders: &[Folder]| folders.iter().map(place).collect::<Vec<Value>>();
    let list = json!({
        "schema_version": 1,
        "workspaces": listed(&all.workspaces),
        "workspaceParents": listed(&all.parents),
    });
    let count = all.workspaces.len() + all.parents.len();
    Ok(wrote(ledger, "workspaces.json", &list, PLACES, count, report)?)
}

fn place(folder: &Folder) -> Value {
    let mut place = json!({"id": folder.id, "name": folder.name, "path": folder.path});
    if let (Some(parent), Some(fields)) = (&folder.parent_path, place.as_object_mut()) {
        fields.insert("parentPath".to_owned(), parent.as_str().into());
    }
    place
}
