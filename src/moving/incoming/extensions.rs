//! Skills and plugins that are installed.

use std::path::Path;

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
        let from = home.join(told).join("installed");
        for (name, about) in listed(&from, told, report) {
            match one(store, kind, &from, &name, &about, tenant).await {
                Ok(true) => report.moved(told),
                Ok(false) => report.there(told),
                Err(Failure::LeftOut(why)) => report.left_out(told, &name, why),
                Err(Failure::Over(error)) => return Err(error),
            }
        }
    }
    let canvas = home.join("canvas-extensions/installed");
    for (name, _) in listed(&canvas, "canvas extensions", report) {
        report.left_out("canvas extensions", &name, "install it again: these are not moved");
    }
    Ok(())
}

enum Failure {
    LeftOut(String),
    Over(anyhow::Error),
}

fn listed(installed: &Path, told: &'static str, report: &mut Report) -> Vec<(String, Value)> {
    let path = installed.join(LIST);
    let text = match folder::text(&path, MOST_LIST) {
        Ok(text) => text,
        Err(folder::Unread::Missing) => return Vec::new(),
        Err(why) => {
            report.left_out(told, &path.to_string_lossy(), why);
            return Vec::new();
        }
    };
    let list = serde_json::from_str::<Map<String, Value>>(&text).ok();
    let Some(Value::Object(extensions)) = list.and_then(|mut list| list.remove("extensions")) else {
        report.left_out(told, &path.to_string_lossy(), "it holds no list of extensions");
        return Vec::new();
    };
    extensions.into_iter().collect()
}

async fn one(
    store: &Store,
    kind: ExtensionKind,
    from: &Path,
    name: &str,
    about: &Value,
    tenant: &TenantId,
) -> Result<bool, Failure> {
    let left_out = |why: &str| Failure::LeftOut(why.to_owned());
    // A name that leads elsewhere is none.
    let is_plain = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0']);
    let folder = from.join(name);
    if !is_plain || !folder::is_folder(&folder) {
        return Err(left_out("there is no such folder"));
    }
    let scratch = tempdir().map_err(|error| Failure::Over(error.into()))?;
    let text = |field: &str| about.get(field).and_then(Value::as_str).map(str::to_owned);
    let installed = store.home().map(|home| home.join(kind_folder(kind)).join("installed"));
    let said = installed.clone().unwrap_or_else(|| from.to_owned());
    let packed =
        extensions::pack(kind, &folder, scratch.path(), &said).map_err(|why| left_out(&why.to_string()))?;
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
        Err(refusal) => return Err(Failure::Over(over(&refusal))),
    };
    if let Some(installed) = installed {
        place(&folder, &installed, &arriving.name).map_err(Failure::LeftOut)?;
    }
    Ok(is_new)
}

/// Puts it where programs look for it, unless it is there.
fn place(folder: &Path, installed: &Path, name: &str) -> Result<(), String> {
    let to = installed.join(name);
    if is_same(folder, &to) || to.symlink_metadata().is_ok() {
        return Ok(());
    }
    std::fs::create_dir_all(installed).map_err(|error| error.to_string())?;
    extensions::copy(folder, &to).map_err(|why| why.to_string())
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
