//! What is kept beside conversations, as the peer's files have it.

use std::collections::BTreeMap;
use std::path::Path;

use control::setup::moving::SetupFiles;
use control::tenant_secrets::TenantSecrets;
use control::workspaces::{Folder, Workspaces};
use secrecy::ExposeSecret;
use serde_json::{Map, Value, json};
use types::TenantId;
use vault::PEERS_TENANT;

use super::write;
use crate::moving::report::{Report, over};
use crate::moving::store::Store;

const SETTINGS: &str = "settings and profiles";
const SECRETS: &str = "secrets";
const PLACES: &str = "workspaces";

/// # Errors
/// Those of the store, and of writing.
pub async fn settings(
    store: &Store,
    home: &Path,
    tenant: &TenantId,
    report: &mut Report,
) -> anyhow::Result<()> {
    let carried = control::setup::moving::carry(&store.shelves, tenant).await;
    let SetupFiles { settings, llm_profiles, agent_profiles, meta_profiles, connections } =
        carried.map_err(|refusal| over(&refusal))?;
    if let Some(settings) = settings {
        write::folder(home)?;
        write::json(&home.join("settings.json"), &settings.into())?;
        report.moved(SETTINGS);
    }
    profiles(&home.join("profiles"), llm_profiles, report)?;
    profiles(&home.join("agent-profiles"), agent_profiles, report)?;
    profiles(&home.join("meta-profiles"), meta_profiles, report)?;
    if !connections.is_empty() {
        let folder = home.join("provider-connections");
        write::folder(&folder)?;
        connections.iter().for_each(|_| report.moved(SETTINGS));
        let list = json!({"schema_version": 1, "connections": connections});
        write::json(&folder.join("provider_connections.json"), &list)?;
    }
    Ok(())
}

fn profiles(folder: &Path, profiles: BTreeMap<String, Value>, report: &mut Report) -> std::io::Result<()> {
    for (name, profile) in profiles {
        if !write::is_name(&name) {
            report.left_out(SETTINGS, &name, "no file can have this name");
            continue;
        }
        write::folder(folder)?;
        write::json(&folder.join(format!("{name}.json")), &profile)?;
        report.moved(SETTINGS);
    }
    Ok(())
}

/// # Errors
/// Those of the store, and of writing.
pub async fn secrets(
    store: &Store,
    home: &Path,
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
        report.moved(SECRETS);
    }
    if !secrets.is_empty() {
        write::folder(home)?;
        write::json(&home.join("secrets.json"), &json!({"custom_secrets": secrets}))?;
    }
    Ok(())
}

/// # Errors
/// Those of the store, and of writing.
pub async fn places(
    store: &Store,
    home: &Path,
    tenant: &TenantId,
    report: &mut Report,
) -> anyhow::Result<()> {
    let all = Workspaces::on(store.shelves.clone()).all(tenant).await.map_err(|refusal| over(&refusal))?;
    if all.workspaces.is_empty() && all.parents.is_empty() {
        return Ok(());
    }
    let listed = |folders: &[Folder]| folders.iter().map(place).collect::<Vec<Value>>();
    let list = json!({
        "schema_version": 1,
        "workspaces": listed(&all.workspaces),
        "workspaceParents": listed(&all.parents),
    });
    write::folder(home)?;
    write::json(&home.join("workspaces.json"), &list)?;
    all.workspaces.iter().chain(&all.parents).for_each(|_| report.moved(PLACES));
    Ok(())
}

fn place(folder: &Folder) -> Value {
    let mut place = json!({"id": folder.id, "name": folder.name, "path": folder.path});
    if let (Some(parent), Some(fields)) = (&folder.parent_path, place.as_object_mut()) {
        fields.insert("parentPath".to_owned(), parent.as_str().into());
    }
    place
}
