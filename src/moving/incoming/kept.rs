//! What is kept beside conversations: settings, profiles, named secrets, and folders that the user interface offers.

use std::collections::BTreeMap;
use std::path::Path;

use control::Refusal;
use control::setup::moving::{Came, SetupFiles};
use control::tenant_secrets::TenantSecrets;
use control::workspaces::{Folder, List, Workspaces};
use secrecy::SecretString;
use serde_json::{Map, Value};
use types::TenantId;
use vault::{PEERS_TENANT, Vault};

use super::folder::{self, Unread};
use crate::moving::report::{Report, over};
use crate::moving::store::Store;

/// Bytes of a file.
const MOST: u64 = 16 << 20;

const SETTINGS: &str = "settings and profiles";
const SECRETS: &str = "secrets";
const PLACES: &str = "workspaces";

const UNOPENABLE: &str = "it does not open with this server's key: set the key of the other server as \
                          OH_PREVIOUS_SECRET_KEYS_0 and bring it again";

/// # Errors
/// Those of the store.
pub async fn settings(
    store: &Store,
    home: &Path,
    tenant: &TenantId,
    report: &mut Report,
) -> anyhow::Result<()> {
    let connections = object(&home.join("provider-connections/provider_connections.json"), SETTINGS, report);
    let connections = connections.and_then(|mut file| file.remove("connections"));
    let files = SetupFiles {
        settings: object(&home.join("settings.json"), SETTINGS, report),
        llm_profiles: profiles(&home.join("profiles"), report),
        agent_profiles: profiles(&home.join("agent-profiles"), report),
        meta_profiles: profiles(&home.join("meta-profiles"), report),
        connections: match connections {
            Some(Value::Array(connections)) => connections,
            _ => Vec::new(),
        },
    };
    if files == SetupFiles::default() {
        return Ok(());
    }
    let brought = control::setup::moving::bring(&store.shelves, tenant, &files).await;
    for (name, came) in brought.map_err(|refusal| over(&refusal))? {
        match came {
            Came::New => report.moved(SETTINGS),
            Came::There => report.there(SETTINGS),
            Came::Refused(why) => report.left_out(SETTINGS, &name, why),
        }
    }
    Ok(())
}

/// # Errors
/// Those of the store.
pub async fn secrets(
    store: &Store,
    home: &Path,
    tenant: &TenantId,
    report: &mut Report,
) -> anyhow::Result<()> {
    let Some(mut file) = object(&home.join("secrets.json"), SECRETS, report) else { return Ok(()) };
    let Some(Value::Object(given)) = file.remove("custom_secrets") else { return Ok(()) };
    let kept = TenantSecrets::on(store.shelves.clone());
    let there = kept.list(tenant).await.map_err(|refusal| over(&refusal))?;
    for (name, secret) in given {
        if there.iter().any(|listed| listed.name == name) {
            report.there(SECRETS);
            continue;
        }
        let told = format!("secret {name}");
        let (value, description) = match &secret {
            Value::String(value) => (Some(value.as_str()), None),
            secret => (
                secret.get("secret").and_then(Value::as_str),
                secret.get("description").and_then(Value::as_str),
            ),
        };
        let Some(value) = value else {
            report.left_out(SECRETS, &told, "it has no value");
            continue;
        };
        if !is_name(&name) {
            report.left_out(SECRETS, &told, "no secret can have this name");
            continue;
        }
        let Some(value) = opened(&store.vault, value) else {
            report.left_out(SECRETS, &told, UNOPENABLE);
            continue;
        };
        match kept.put(tenant, &name, &value, description).await {
            Ok(()) => report.moved(SECRETS),
            Err(Refusal::TooLarge(why)) => report.left_out(SECRETS, &told, why),
            Err(refusal) => return Err(over(&refusal)),
        }
    }
    Ok(())
}

/// # Errors
/// Those of the store.
pub async fn places(
    store: &Store,
    files: &[impl AsRef<Path>],
    tenant: &TenantId,
    report: &mut Report,
) -> anyhow::Result<()> {
    let Some(file) = files.iter().find(|file| file.as_ref().symlink_metadata().is_ok()) else {
        return Ok(());
    };
    let Some(file) = object(file.as_ref(), PLACES, report) else { return Ok(()) };
    let kept = Workspaces::on(store.shelves.clone());
    let there = kept.all(tenant).await.map_err(|refusal| over(&refusal))?;
    for (list, field, known) in [
        (List::Workspaces, "workspaces", &there.workspaces),
        (List::Parents, "workspaceParents", &there.parents),
    ] {
        let given = file.get(field).and_then(Value::as_array).into_iter().flatten();
        let given: Vec<Folder> = given.filter_map(place).collect();
        let (old, new): (Vec<_>, Vec<_>) =
            given.into_iter().partition(|given| known.iter().any(|known| known.path == given.path));
        old.iter().for_each(|_| report.there(PLACES));
        if new.is_empty() {
            continue;
        }
        match kept.add(tenant, list, &new).await {
            Ok(_) => new.iter().for_each(|_| report.moved(PLACES)),
            Err(Refusal::TooLarge(why)) => report.left_out(PLACES, field, why),
            Err(refusal) => return Err(over(&refusal)),
        }
    }
    Ok(())
}

fn place(given: &Value) -> Option<Folder> {
    let text = |name: &str| given.get(name).and_then(Value::as_str).map(str::to_owned);
    Some(Folder::new(text("id")?, text("name")?, text("path")?, text("parentPath")))
}

/// What the peer has sealed, or has in plain text where it has no key.
fn opened(vault: &Vault, text: &str) -> Option<SecretString> {
    match Vault::is_token(text) {
        true => vault.open_token(text, PEERS_TENANT).ok(),
        false => Some(SecretString::from(text)),
    }
}

/// As names of secrets are, which are those of variables.
fn is_name(name: &str) -> bool {
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
    first && name.len() <= 64 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn profiles(folder: &Path, report: &mut Report) -> BTreeMap<String, Value> {
    let names = folder::names(folder).unwrap_or_else(|why| {
        report.left_out(SETTINGS, &folder.to_string_lossy(), why);
        Vec::new()
    });
    let mut profiles = BTreeMap::new();
    for name in names {
        let Some(stem) = name.strip_suffix(".json").filter(|stem| !stem.starts_with('.') && !stem.is_empty())
        else {
            continue;
        };
        if let Some(profile) = object(&folder.join(&name), SETTINGS, report) {
            profiles.insert(stem.to_owned(), profile.into());
        }
    }
    profiles
}

/// The object in a file; what is none is told, and that there is no file is nothing.
fn object(path: &Path, kind: &'static str, report: &mut Report) -> Option<Map<String, Value>> {
    let text = match folder::text(path, MOST) {
        Ok(text) => text,
        Err(Unread::Missing) => return None,
        Err(why) => {
            report.left_out(kind, &path.to_string_lossy(), why);
            return None;
        }
    };
    let Ok(Value::Object(fields)) = serde_json::from_str(&text) else {
        report.left_out(kind, &path.to_string_lossy(), "it holds no JSON object");
        return None;
    };
    Some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_file_is_told_by_its_name_and_never_by_its_content() {
        let dir = tempfile::tempdir().unwrap();
        let (path, mut report) = (dir.path().join("settings.json"), Report::default());
        assert_eq!(object(&path, SETTINGS, &mut report), None);
        assert!(!format!("{report:?}").contains("settings.json"), "{report:?}");
        std::fs::write(&path, "{\"llm\": \"sk-secret\"").unwrap();
        assert_eq!(object(&path, SETTINGS, &mut report), None);
        let told = format!("{report:?}");
        assert!(told.contains("settings.json") && !told.contains("sk-secret"), "{told}");
    }

    #[test]
    fn names_of_secrets_are_those_of_variables() {
        assert!(is_name("TOKEN_1") && is_name("a"));
        for other in ["", "1A", "A-B", "../x", &"A".repeat(65)] {
            assert!(!is_name(other), "{other}");
        }
    }
}
