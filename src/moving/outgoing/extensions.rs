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

/// Bytes of a list.
const MOST_LIST: u64 = 4 << 20;

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
        let (known, mut list) = (listed(to, &inside), Map::new());
        for one in carried.iter().filter(|one| one.kind == kind) {
            let called = &one.installed.name;
            match place(one, ledger, to, &inside) {
                Ok(()) => {
                    list.insert(called.clone(), about(one, &folder));
                    report.moved(name);
                }
                Err(why) => {
                    list.extend(known.get(called).map(|there| (called.clone(), there.clone())));
                    report.left_out(name, called, why);
                }
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

/// What was on the list that is there.
fn listed(to: &Path, inside: &str) -> Map<String, Value> {
    let list = folder::text(to, &format!("{inside}/{INSTALLED}"), MOST_LIST).unwrap_or_default();
    let read = serde_json::from_str::<Map<String, Value>>(&list).unwrap_or_default().remove("extensions");
    match read {
        Some(Value::Object(extensions)) => extensions,
        _ => Map::new(),
    }
}

/// What is there under its name is left as it is.
fn place(one: &Carried, ledger: &mut Ledger, to: &Path, inside: &str) -> Result<(), String> {
    let name = &one.installed.name;
    let pack = one.pack.as_ref().ok_or("not all of it is there")?;
    if !write::is_name(name) {
        return Err("no folder can have this name".to_owned());
    }
    let told = |error: std::io::Error| error.to_string();
    let folder = folder::make(to, inside).map_err(told)?;
    let to = folder.join(name);
    let noted = format!("{inside}/{name}");
    if to.symlink_metadata().is_ok() {
        let is_this = ledger.has_noted(&noted, pack);
        return is_this.then_some(()).ok_or_else(|| "another one is there, and stays as it is".to_owned());
    }
    ledger.note_as(&noted, pack).map_err(told)?;
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
