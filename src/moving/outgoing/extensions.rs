//! Skills and plugins that are installed: their folders, and the list beside them.

use std::path::Path;

use control::extensions::moving::{self, Carried};
use serde_json::{Map, Value, json};
use types::TenantId;
use worker::services::extensions;

use super::{INSTALLED, KINDS, write};
use crate::moving::report::{Report, over};
use crate::moving::store::Store;

/// # Errors
/// Those of the store, and of writing.
pub async fn carry(store: &Store, home: &Path, tenant: &TenantId, report: &mut Report) -> anyhow::Result<()> {
    let carried = moving::carry(&store.shelves, tenant).await.map_err(|refusal| over(&refusal))?;
    for (kind, name) in KINDS {
        let folder = home.join(name).join("installed");
        let mut list = Map::new();
        for one in carried.iter().filter(|one| one.kind == kind) {
            match place(one, &folder) {
                Ok(()) => {
                    list.insert(one.installed.name.clone(), about(one, &folder));
                    report.moved(name);
                }
                Err(why) => report.left_out(name, &one.installed.name, why),
            }
        }
        if !list.is_empty() {
            write::json(&folder.join(INSTALLED), &json!({"extensions": list}))?;
        }
    }
    let is_moved = |one: &&Carried| KINDS.iter().any(|(kind, _)| *kind == one.kind);
    for one in carried.iter().filter(|one| !is_moved(one)) {
        report.left_out("canvas extensions", &one.installed.name, "install it again: these are not moved");
    }
    Ok(())
}

fn place(one: &Carried, folder: &Path) -> Result<(), String> {
    let name = &one.installed.name;
    let pack = one.pack.as_ref().ok_or("not all of it is there")?;
    if !write::is_name(name) {
        return Err("no folder can have this name".to_owned());
    }
    let to = folder.join(name);
    if to.symlink_metadata().is_ok() {
        return Ok(());
    }
    let told = |error: std::io::Error| error.to_string();
    let draft = folder.join(format!(".{name}.new"));
    write::folder(&draft).map_err(told)?;
    extensions::unpack(pack, &draft).map_err(told)?;
    std::fs::rename(draft, to).map_err(told)
}

fn about(one: &Carried, folder: &Path) -> Value {
    let installed = &one.installed;
    json!({
        "name": installed.name,
        "version": installed.version,
        "description": installed.description,
        "enabled": installed.enabled,
        "source": installed.source,
        "requested_ref": installed.requested_ref,
        "resolved_ref": installed.resolved_ref,
        "repo_path": installed.repo_path,
        "installed_at": installed.installed_at,
        "install_path": folder.join(&installed.name),
    })
}
