//! Skills and plugins that are installed.

use std::path::{Path, PathBuf};

use control::Refusal;
use control::extensions::moving::{self, Arriving};
use serde_json::{Map, Value};
use types::TenantId;
use types::extensions::ExtensionKind;
use worker::services::extensions;

use super::{INSTALLED as LIST, KINDS, folder, is_same};
use crate::moving::report::{Report, over};
use crate::moving::store::Store;

const MOST_LIST: u64 = 4 << 20;

/// # Errors
/// Those of the store.
pub async fn bring(store: &Store, home: &Path, tenant: &TenantId, report: &mut Report) -> anyhow::Result<()> {
    for (kind, told) in KINDS {
        let installed = format!("{told}/installed");
        for (name, about) in listed(home, &installed, told, report) {
            match one(store, kind, home, &format!("{installed}/{name}"), &about, tenant).await {
                Ok(true) => report.moved(told),
                Ok(false) => report.there(told),
                Err(Failure::LeftOut(why)) => report.left_out(told, &name, why),
                Err(Failure::Over(error)) => return Err(error),
            }
        }
    }
    for (name, _) in listed(home, "canvas-extensions/installed", "canvas extensions", report) {
        report.left_out("canvas extensions", &name, "install it again: these are not moved");
    }
    Ok(())
}

enum Failure {
    LeftOut(String),
    Over(anyhow::Error),
}

fn listed(home: &Path, installed: &str, told: &'static str, report: &mut Report) -> Vec<(String, Value)> {
    let list = format!("{installed}/{LIST}");
    let text = match folder::text(home, &list, MOST_LIST) {
        Ok(text) => text,
        Err(folder::Unread::Missing) => return Vec::new(),
        Err(why) => {
            report.left_out(told, &list, why);
            return Vec::new();
        }
    };
    let read = serde_json::from_str::<Map<String, Value>>(&text).ok();
    let Some(Value::Object(extensions)) = read.and_then(|mut read| read.remove("extensions")) else {
        report.left_out(told, &list, "it holds no list of extensions");
        return Vec::new();
    };
    // A name that leads elsewhere is none.
    let is_plain = |name: &str| !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0']);
    let (plain, odd): (Vec<_>, Vec<_>) = extensions.into_iter().partition(|(name, _)| is_plain(name));
    odd.iter().for_each(|(name, _)| report.left_out(told, name, "no folder can have this name"));
    plain
}

async fn one(
    store: &Store,
    kind: ExtensionKind,
    home: &Path,
    inside: &str,
    about: &Value,
    tenant: &TenantId,
) -> Result<bool, Failure> {
    let left_out = |why: &str| Failure::LeftOut(why.to_owned());
    let folder = folder::below(home, inside).ok().filter(|folder| folder::is_folder(folder));
    let folder = folder.ok_or(left_out("there is no such folder"))?;
    let from = folder.parent().unwrap_or(home).to_owned();
    let scratch = tempdir().map_err(|error| Failure::Over(error.into()))?;
    let text = |field: &str| about.get(field).and_then(Value::as_str).map(str::to_owned);
    let installed = store.home().map(|home| home.join(kind_folder(kind)).join("installed"));
    let said = installed.clone().unwrap_or(from);
    let packed =
        extensions::pack(kind, &folder, scratch.path(), &said).map_err(|why| left_out(&why.to_string()))?;
    let over = |refusal: &Refusal| Failure::Over(over(refusal));
    let listed = moving::is_listed(&store.shelves, tenant, kind, &packed.name).await;
    let is_listed = listed.map_err(|refusal| over(&refusal))?;
    // Where programs look for it.
    let installed = installed.filter(|_| store.settings.extensions.places);
    let place = installed.filter(|installed| !is_same(&folder, &installed.join(&packed.name)));
    let is_there = |installed: &PathBuf| installed.join(&packed.name).symlink_metadata().is_ok();
    // What is there and on no list is the user's own.
    if let Some(own) = place.as_ref().filter(|place| !is_listed && is_there(place)) {
        let at = own.join(&packed.name);
        let why = format!("there is another one in {}: move that away, and bring it again", at.display());
        return Err(Failure::LeftOut(why));
    }
    let missing = place.filter(|place| !is_there(place));
    let arriving = Arriving {
        install_path: said.join(&packed.name).to_string_lossy().into_owned(),
        name: packed.name,
        version: text("version").unwrap_or(packed.version),
        description: text("description").unwrap_or(packed.description),
        enabled: about.get("enabled").and_then(Value::as_bool).unwrap_or(true),
        source: text("source").unwrap_or_default(),
        requested_ref: text("requested_ref"),
        resolved_ref: text("resolved_ref"),
        repo_path: text("repo_path"),
        installed_at: text("installed_at").unwrap_or_default(),
        contents: packed.contents,
        pack: packed.pack.into(),
    };
    let is_new = match moving::bring(&store.shelves, tenant, kind, &arriving).await {
        Ok(is_new) => is_new,
        Err(Refusal::TooLarge(why)) => return Err(left_out(why)),
        Err(refusal) => return Err(over(&refusal)),
    };
    if let Some(installed) = missing {
        let placed = extensions::place(&folder, &installed, &arriving.name);
        placed.map_err(|error| Failure::LeftOut(error.to_string()))?;
    }
    Ok(is_new)
}

fn kind_folder(kind: ExtensionKind) -> &'static str {
    KINDS.iter().find(|(known, _)| *known == kind).map_or("skills", |(_, folder)| folder)
}

/// A folder of this process' own that goes with it.
struct Scratch(std::path::PathBuf);

impl Scratch {
    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays is small, and the system's to remove.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn tempdir() -> std::io::Result<Scratch> {
    use std::os::unix::fs::DirBuilderExt;
    let name = format!("manyhands-{}-{:016x}", std::process::id(), unique());
    let path = std::env::temp_dir().join(name);
    std::fs::DirBuilder::new().mode(0o700).create(&path)?;
    Ok(Scratch(path))
}

/// Another one at each call.
fn unique() -> u64 {
    types::ConversationId::random().0.as_u64_pair().0
}
