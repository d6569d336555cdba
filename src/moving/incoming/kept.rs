//! What is kept beside conversations: settings, profiles, named secrets, and folders that the user interface offers.

use std::collections::BTreeMap;
use std::path::Path;

use control::setup::moving::{Came, SetupFiles};
use control::tenant_secrets::TenantSecrets;
use control::workspaces::{Folder, List, Workspaces};
use secrecy::SecretString;
use serde_json::{Map, Value};
use types::TenantId;
use types::secrets::{MASK, is_name};
use vault::{PEERS_TENANT, Vault};

use super::folder::{self, Unread};
use crate::moving::report::{Report, over};
use crate::moving::store::Store;

/// Bytes of a file: twice what can be kept of all, and of one profile.
const MOST: u64 = 8 << 20;
const MOST_PROFILE: u64 = 512 << 10;

/// Files of one kind of profiles that are read.
const MOST_PROFILES: usize = 200;

const SETTINGS: &str = "settings and profiles";
const SECRETS: &str = "secrets";
const PLACES: &str = "workspaces";
const LIST: &str = "workspaces.json";

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
    let connections = object(home, "provider-connections/provider_connections.json", MOST, SETTINGS, report);
    let connections = connections.and_then(|mut file| file.remove("connections"));
    let files = SetupFiles {
        settings: object(home, "settings.json", MOST, SETTINGS, report),
        llm_profiles: profiles(home, "profiles", report),
        agent_profiles: profiles(home, "agent-profiles", report),
        meta_profiles: profiles(home, "meta-profiles", report),
        connections: match connections {
            Some(Value::Array(connections)) => connections,
            _ => Vec::new(),
        },
    };
    if files == SetupFiles::default() {
        return Ok(());
    }
    let brought = match control::setup::moving::bring(&store.shelves, tenant, &files).await {
        Ok(brought) => brought,
        Err(refusal) => return report.refused(SETTINGS, "all of them", &refusal),
    };
    for (name, came) in brought {
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
    let Some(mut file) = object(home, "secrets.json", MOST, SECRETS, report) else { return Ok(()) };
    let Some(Value::Object(given)) = file.remove("custom_secrets") else { return Ok(()) };
    let kept = TenantSecrets::on(store.shelves.clone());
    let there = kept.list(tenant).await.map_err(|refusal| over(&refusal))?;
    for (name, secret) in given {
        // Its value may not open any more.
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
        if value == MASK {
            report.left_out(SECRETS, &told, "its file has only a mask of it");
            continue;
        }
        let Some(value) = opened(&store.vault, value) else {
            report.left_out(SECRETS, &told, UNOPENABLE);
            continue;
        };
        match kept.make(tenant, &name, &value, description).await {
            Ok(true) => report.moved(SECRETS),
            Ok(false) => report.there(SECRETS),
            Err(refusal) => report.refused(SECRETS, &told, &refusal)?,
        }
    }
    Ok(())
}

/// # Errors
/// Those of the store.
pub async fn places(
    store: &Store,
    homes: &[impl AsRef<Path>],
    tenant: &TenantId,
    report: &mut Report,
) -> anyhow::Result<()> {
    let mut homes = homes.iter().map(AsRef::as_ref);
    let Some(home) = homes.find(|home| home.join(LIST).symlink_metadata().is_ok()) else {
        return Ok(());
    };
    let Some(file) = object(home, LIST, MOST, PLACES, report) else { return Ok(()) };
    let kept = Workspaces::on(store.shelves.clone());
    let there = kept.all(tenant).await.map_err(|refusal| over(&refusal))?;
    for (list, field, known) in [
        (List::Workspaces, "workspaces", &there.workspaces),
        (List::Parents, "workspaceParents", &there.parents),
    ] {
        let given = file.get(field).and_then(Value::as_array).into_iter().flatten();
        let (whole, odd): (Vec<_>, Vec<_>) = given.map(place).partition(Option::is_some);
        odd.iter().for_each(|_| report.left_out(PLACES, field, "one has no id, no name or no path"));
        let given: Vec<Folder> = whole.into_iter().flatten().collect();
        let (old, new): (Vec<_>, Vec<_>) =
            given.into_iter().partition(|given| known.iter().any(|known| known.path == given.path));
        old.iter().for_each(|_| report.there(PLACES));
        if new.is_empty() {
            continue;
        }
        match kept.add(tenant, list, &new).await {
            Ok(_) => new.iter().for_each(|_| report.moved(PLACES)),
            Err(refusal) => report.refused(PLACES, field, &refusal)?,
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

fn profiles(home: &Path, folder: &str, report: &mut Report) -> BTreeMap<String, Value> {
    let names = folder::names(home, folder).unwrap_or_else(|why| {
        report.left_out(SETTINGS, folder, why);
        Vec::new()
    });
    let stem = |name: &String| {
        let stem = name.strip_suffix(".json").filter(|stem| !stem.starts_with('.') && !stem.is_empty());
        stem.map(str::to_owned)
    };
    let mut stems: Vec<String> = names.iter().filter_map(stem).collect();
    if stems.len() > MOST_PROFILES {
        let more = stems.split_off(MOST_PROFILES).len();
        report.left_out(SETTINGS, folder, format!("{more} of its files are more than are read"));
    }
    let mut profiles = BTreeMap::new();
    for stem in stems {
        if let Some(profile) = object(home, &format!("{folder}/{stem}.json"), MOST_PROFILE, SETTINGS, report)
        {
            profiles.insert(stem, profile.into());
        }
    }
    profiles
}

/// The object in a file; what is none is told, and that there is no file is nothing.
fn object(
    home: &Path,
    inside: &str,
    most: u64,
    kind: &'static str,
    report: &mut Report,
) -> Option<Map<String, Value>> {
    let text = match folder::text(home, inside, most) {
        Ok(text) => text,
        Err(Unread::Missing) => return None,
        Err(why) => {
            report.left_out(kind, &home.join(inside).to_string_lossy(), why);
            return None;
        }
    };
    let Ok(Value::Object(fields)) = serde_json::from_str(&text) else {
        report.left_out(kind, &home.join(inside).to_string_lossy(), "it holds no JSON object");
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
        let mut report = Report::default();
        let mut read = || object(dir.path(), "settings.json", MOST, SETTINGS, &mut report);
        assert_eq!(read(), None);
        std::fs::write(dir.path().join("settings.json"), "{\"llm\": \"sk-secret\"").unwrap();
        assert_eq!(read(), None);
        let told = format!("{report:?}");
        assert_eq!(told.matches("settings.json").count(), 1, "that it is not there is nothing: {told}");
        assert!(!told.contains("sk-secret"), "{told}");
    }
}
