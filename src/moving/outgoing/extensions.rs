//! Skills and plugins that are installed: their folders, and the list beside them.

use std::path::Path;

use control::extensions::moving::{self, Carried};
use serde_json::{Map, Value, json};
use types::TenantId;
use worker::services::extensions;

use super::ledger::Ledger;
use super::{HOME, INSTALLED, KINDS, write};
use crate::moving::folder;
use crate::moving::report::{Report, over};
use crate::moving::store::Store;

/// # Errors
/// Those of the store, and of writing.
pub async fn carry(
    store: &Store,
    ledger: &mut Ledger,
    to: &Path,
    tenant: &TenantId,
    report: &mut Report,
) -> anyhow::Result<()> {
    let carried = moving::carry(&store.shelves, tenant).await.map_err(|refusal| over(&refusal))?;
    for (kind, name) in KINDS {
        let inside = format!("{HOME}/{name}/installed");
        let folder = to.join(&inside);
        let mut list = Map::new();
        for one in carried.iter().filter(|one| one.kind == kind) {
            match place(one, to, &inside) {
                Ok(()) => {
                    list.insert(one.installed.name.clone(), about(one, &folder));
                    report.moved(name);
                }
                Err(why) => report.left_out(name, &one.installed.name, why),
            }
        }
        if !list.is_empty() {
            let written = ledger.json(&format!("{inside}/{INSTALLED}"), &json!({"extensions": list}))?;
            if let Err(why) = written {
                report.left_out(name, INSTALLED, why);
            }
        }
    }
    let is_moved = |one: &&Carried| KINDS.iter().any(|(kind, _)| *kind == one.kind);
    for one in carried.iter().filter(|one| !is_moved(one)) {
        report.left_out("canvas extensions", &one.installed.name, "install it again: these are not moved");
    }
    Ok(())
}

fn place(one: &Carried, to: &Path, inside: &str) -> Result<(), String> {
    let name = &one.installed.name;
    let pack = one.pack.as_ref().ok_or("not all of it is there")?;
    if !write::is_name(name) {
        return Err("no folder can have this name".to_owned());
    }
    let told = |error: std::io::Error| error.to_string();
    let folder = folder::make(to, inside).map_err(told)?;
    let to = folder.join(name);
    if to.symlink_metadata().is_ok() {
        return Ok(());
    }
    // Another one at each call: what a cut-off one has left is nothing to build on.
    let draft = folder.join(format!(".{}", types::ConversationId::random().hex()));
    std::fs::create_dir(&draft).map_err(told)?;
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
        "install_path": folder.join(&installed.name).to_string_lossy(),
    })
}
