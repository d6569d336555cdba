//! Settings and profiles on their way in from files of the peer, and out into such files.
//!
//! What is here stays: of settings only what nobody has set is taken, of profiles and connections those whose names are free.
//! So to bring the same files a second time changes nothing, and what was cut off can be done again.

use std::collections::BTreeMap;

use forms::{Step, Trouble};
use serde_json::{Map, Value, json};
use types::TenantId;
use uuid::Uuid;

use super::active::{MOST_PROFILES as MOST_AGENTS, profile_of};
use super::agent::{Unfit, complete, completed};
use super::connections::MOST_CONNECTIONS;
use super::llm_profiles::{MOST_PROFILES as MOST_MODELS, clear, connection_id};
use super::meta_profiles::whole as whole_meta_profile;
use super::settings::{conversation, refused};
use super::{Connection, Setup, agent_form, canonical, model, read_agent_profile};
use crate::Refusal;
use crate::shelf::{Change, Sealing, Shelves};

/// Of the peer's `settings.json`.
const SCHEMA_VERSION: u64 = 6;
/// Of its LLM profiles.
const PROFILE_VERSION: u64 = 1;

/// What the peer's files say of settings and profiles; profiles by the names of their files.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SetupFiles {
    pub settings: Option<Map<String, Value>>,
    pub llm_profiles: BTreeMap<String, Value>,
    pub agent_profiles: BTreeMap<String, Value>,
    pub meta_profiles: BTreeMap<String, Value>,
    pub connections: Vec<Value>,
}

/// What came of one thing that was to be brought here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Came {
    New,
    /// There is one already, which stays as it is.
    There,
    /// It is left out; the sentence says why, and never a value.
    Refused(String),
}

/// Takes what fits and is not there yet. Answers what came of each thing, by what it is called.
///
/// # Errors
/// Those of the shelf.
pub async fn bring(
    shelves: &Shelves,
    tenant: &TenantId,
    files: &SetupFiles,
) -> Result<Vec<(String, Came)>, Refusal> {
    let sealing = shelves.sealing::<Setup>(tenant);
    let change = |setup: &mut Setup| {
        let mut outcomes = Vec::new();
        for connection in &files.connections {
            outcomes.push(bring_connection(&sealing, setup, connection));
        }
        for (name, given) in &files.llm_profiles {
            let came = bring_one(&mut setup.llm_profiles, MOST_MODELS, name, || llm_profile(&sealing, given));
            outcomes.push((format!("LLM profile {name}"), came));
        }
        for (name, given) in &files.meta_profiles {
            let made = || whole_meta_profile(given.clone());
            let came = bring_one(&mut setup.meta_profiles, MOST_MODELS, name, made);
            outcomes.push((format!("meta-profile {name}"), came));
        }
        for (name, given) in &files.agent_profiles {
            let made = || read_agent_profile(canonical(name), object(given)?);
            let came = bring_one(&mut setup.agent_profiles, MOST_AGENTS, name, made);
            outcomes.push((format!("agent profile {name}"), came));
        }
        if let Some(settings) = &files.settings {
            let came = bring_settings(&sealing, setup, settings);
            outcomes
                .push(("settings".to_owned(), came.unwrap_or_else(|refusal| Came::Refused(says(refusal)))));
        }
        let writes = outcomes.iter().any(|(_, came)| *came == Came::New);
        Ok(if writes { Change::Write(outcomes) } else { Change::Nothing(outcomes) })
    };
    shelves.change(tenant, change).await
}

/// What a tenant keeps, as the peer's files have it: sealed with the peer's tokens.
///
/// # Errors
/// `WrongKey`, those of the shelf.
pub async fn carry(shelves: &Shelves, tenant: &TenantId) -> Result<SetupFiles, Refusal> {
    let setup = shelves.read::<Setup>(tenant).await?;
    let sealing = shelves.sealing::<Setup>(tenant);
    let mut llm_profiles = setup.llm_profiles.clone();
    for llm in llm_profiles.values_mut() {
        sealing.carry(forms::llm(), llm)?;
        if let Some(fields) = llm.as_object_mut() {
            fields.retain(|_, value| !value.is_null());
            fields.insert("schema_version".to_owned(), PROFILE_VERSION.into());
        }
    }
    let mut connections = Vec::new();
    for connection in &setup.connections {
        let mut connection = serde_json::to_value(connection).map_err(ports::rpc::Fault::internal)?;
        sealing.carry(forms::llm(), &mut connection)?;
        connections.push(connection);
    }
    Ok(SetupFiles {
        settings: if is_set(&setup) { Some(carried_settings(&sealing, &setup)?) } else { None },
        llm_profiles,
        agent_profiles: setup.agent_profiles,
        meta_profiles: setup.meta_profiles,
        connections,
    })
}

fn is_set(setup: &Setup) -> bool {
    let has_settings = !setup.agent_settings.is_null() || !setup.conversation_settings.is_null();
    let has_pointer = setup.active_profile.is_some()
        || setup.active_agent_profile_id.is_some()
        || setup.active_meta_profile.is_some();
    has_settings || has_pointer || !setup.misc_settings.is_empty()
}

fn carried_settings(sealing: &Sealing<'_>, setup: &Setup) -> Result<Map<String, Value>, Refusal> {
    let mut agent_settings = complete(&setup.agent_settings);
    sealing.carry(agent_form(&agent_settings), &mut agent_settings)?;
    let settings = json!({
        "schema_version": SCHEMA_VERSION,
        "agent_settings": agent_settings,
        "conversation_settings": conversation(&setup.conversation_settings),
        "active_profile": setup.active_profile,
        "active_agent_profile_id": setup.active_agent_profile_id,
        "active_meta_profile": setup.active_meta_profile,
        "misc_settings": setup.misc_settings,
    });
    object(&settings)
}

fn bring_settings(
    sealing: &Sealing<'_>,
    setup: &mut Setup,
    given: &Map<String, Value>,
) -> Result<Came, Refusal> {
    let is_newer = given.get("schema_version").and_then(Value::as_u64).is_some_and(|v| v > SCHEMA_VERSION);
    if is_newer {
        return Err(Refusal::Unfit("they are of a newer release".to_owned()));
    }
    let of = |name: &str| given.get(name).filter(|value| !value.is_null()).cloned();
    // All of it is read before any of it is taken.
    let agent = of("agent_settings").map(|given| agent_settings(sealing, given)).transpose()?;
    let conversation = of("conversation_settings").map(conversation_settings).transpose()?;
    let mut came = Came::There;
    let mut note = |is_new: bool| {
        if is_new {
            came = Came::New;
        }
    };
    note(fill(&mut setup.agent_settings, agent));
    note(fill(&mut setup.conversation_settings, conversation));
    if let Some(Value::Object(misc)) = of("misc_settings")
        && setup.misc_settings.is_empty()
        && !misc.is_empty()
    {
        setup.misc_settings = misc;
        note(true);
    }
    let text = |name: &str| given.get(name).and_then(Value::as_str).map(str::to_owned);
    let wanted = text("active_profile").filter(|name| setup.llm_profiles.contains_key(canonical(name)));
    note(point(&mut setup.active_profile, wanted));
    let wanted = text("active_agent_profile_id").and_then(|id| Uuid::parse_str(&id).ok());
    let wanted = wanted.filter(|id| profile_of(setup, *id).is_some());
    note(point(&mut setup.active_agent_profile_id, wanted));
    let wanted = text("active_meta_profile").filter(|name| setup.meta_profiles.contains_key(canonical(name)));
    note(point(&mut setup.active_meta_profile, wanted));
    Ok(came)
}

/// Whether there was room for it.
fn fill(place: &mut Value, given: Option<Value>) -> bool {
    match given {
        Some(given) if place.is_null() => {
            *place = given;
            true
        }
        _ => false,
    }
}

fn point<T>(place: &mut Option<T>, wanted: Option<T>) -> bool {
    let is_new = place.is_none() && wanted.is_some();
    if is_new {
        *place = wanted;
    }
    is_new
}

fn agent_settings(sealing: &Sealing<'_>, mut given: Value) -> Result<Value, Refusal> {
    sealing.take_brought(agent_form(&given), &mut given).map_err(|_| unopenable())?;
    completed(given).map_err(refused)
}

fn conversation_settings(given: Value) -> Result<Value, Refusal> {
    forms::conversation_settings().fill(given).map_err(|_| refused(Unfit::Invalid))
}

fn llm_profile(sealing: &Sealing<'_>, given: &Value) -> Result<Value, Refusal> {
    let mut llm = model::whole(given.clone())?;
    sealing.take_brought(forms::llm(), &mut llm).map_err(|_| unopenable())?;
    if connection_id(&llm).is_some() {
        clear(&mut llm, "api_key");
        clear(&mut llm, "base_url");
    }
    Ok(llm)
}

fn bring_connection(sealing: &Sealing<'_>, setup: &mut Setup, given: &Value) -> (String, Came) {
    let mut given = given.clone();
    // Its key stands where that of a model does.
    let opened = sealing.take_brought(forms::llm(), &mut given);
    let Ok(connection) = serde_json::from_value::<Connection>(given) else {
        return ("a provider connection".to_owned(), Came::Refused("it is not whole".to_owned()));
    };
    let name = format!("provider connection {}", connection.display_name);
    if setup.connections.iter().any(|there| there.id == connection.id) {
        return (name, Came::There);
    }
    if opened.is_err() {
        return (name, Came::Refused(says(unopenable())));
    }
    if setup.connections.len() >= MOST_CONNECTIONS {
        return (name, Came::Refused(format!("there may be {MOST_CONNECTIONS} connections")));
    }
    setup.connections.push(connection);
    (name, Came::New)
}

fn bring_one(
    kept: &mut BTreeMap<String, Value>,
    most: usize,
    name: &str,
    made: impl FnOnce() -> Result<Value, Refusal>,
) -> Came {
    let name = canonical(name);
    if kept.contains_key(name) {
        return Came::There;
    }
    if kept.len() >= most {
        return Came::Refused(format!("there may be {most} of a kind"));
    }
    match made() {
        Ok(profile) => {
            kept.insert(name.to_owned(), profile);
            Came::New
        }
        Err(refusal) => Came::Refused(says(refusal)),
    }
}

fn object(given: &Value) -> Result<Map<String, Value>, Refusal> {
    given.as_object().cloned().ok_or_else(|| Refusal::Unfit("it is no JSON object".to_owned()))
}

fn unopenable() -> Refusal {
    Refusal::Unfit(
        "a secret in it does not open with this server's key: set the key of the other server as \
         OH_PREVIOUS_SECRET_KEYS_0 and bring it again"
            .to_owned(),
    )
}

/// In words for whoever brings it.
fn says(refusal: Refusal) -> String {
    match refusal {
        Refusal::Missing(text) | Refusal::Taken(text) | Refusal::Bad(text) | Refusal::Unfit(text) => text,
        Refusal::Troubles { list, .. } => list.first().map_or_else(String::new, trouble),
        Refusal::TooLarge(text) => text.to_owned(),
        Refusal::Coded { .. } | Refusal::WrongKey | Refusal::Damaged | Refusal::Fault(_) => {
            "it cannot be kept".to_owned()
        }
    }
}

fn trouble(trouble: &Trouble) -> String {
    let step = |step: &Step| match step {
        Step::Field(name) => name.clone(),
        Step::Index(index) => index.to_string(),
    };
    let at: Vec<String> = trouble.at.iter().map(step).collect();
    format!("{}: {}", at.join("."), trouble.says)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use secrecy::ExposeSecret;
    use telemetry::metrics::Metrics;
    use vault::{PEERS_TENANT, Vault};

    use super::*;

    struct World {
        shelves: Shelves,
        vault: Arc<Vault>,
        tenant: TenantId,
        _store: embedded::Guard,
        _dir: tempfile::TempDir,
    }

    async fn world() -> World {
        let dir = tempfile::tempdir().unwrap();
        let options = embedded::Options::within(dir.path(), embedded::Fsync::Always);
        let (ports, store) = embedded::open(options).await.unwrap();
        let vault = Arc::new(Vault::new(&"k".into(), &[]));
        let shelves = Shelves::new(ports.kv.clone(), vault.clone(), Metrics::default().work);
        World { shelves, vault, tenant: TenantId::parse("b").unwrap(), _store: store, _dir: dir }
    }

    fn files(vault: &Vault) -> SetupFiles {
        let key = vault.token("sk-1", PEERS_TENANT);
        SetupFiles {
            settings: json!({"schema_version": 6, "agent_settings": {"llm": {"model": "m", "api_key": key}},
                "conversation_settings": {"max_iterations": 7}, "misc_settings": {"a": 1}, "active_profile": "own"})
            .as_object()
            .cloned(),
            llm_profiles: BTreeMap::from([
                ("own".to_owned(), json!({"model": "m", "api_key": key, "schema_version": 1})),
                ("foreign".to_owned(), json!({"model": "m", "api_key": Vault::new(&"o".into(), &[]).token("x", PEERS_TENANT)})),
            ]),
            connections: vec![json!({"id": "c", "display_name": "C", "provider": "p", "api_key": key, "base_url": null,
                "created_at": 1, "updated_at": 2, "added": true})],
            ..SetupFiles::default()
        }
    }

    fn came(outcomes: &[(String, Came)], name: &str) -> Came {
        outcomes.iter().find(|(named, _)| named == name).unwrap().1.clone()
    }

    #[tokio::test]
    async fn what_is_brought_twice_is_brought_once_and_goes_out_as_it_came() {
        let world = world().await;
        let files = files(&world.vault);
        let outcomes = bring(&world.shelves, &world.tenant, &files).await.unwrap();
        assert_eq!(came(&outcomes, "settings"), Came::New);
        assert_eq!(came(&outcomes, "LLM profile own"), Came::New);
        let Came::Refused(why) = came(&outcomes, "LLM profile foreign") else { panic!("{outcomes:?}") };
        assert!(why.contains("OH_PREVIOUS_SECRET_KEYS_0") && !why.contains("gAAAAA"), "{why}");

        let again = bring(&world.shelves, &world.tenant, &files).await.unwrap();
        assert!(again.iter().all(|(_, came)| *came != Came::New), "{again:?}");

        let out = carry(&world.shelves, &world.tenant).await.unwrap();
        let open = |token: &Value| {
            world.vault.open_token(token.as_str().unwrap(), PEERS_TENANT).unwrap().expose_secret().to_owned()
        };
        assert_eq!(open(&out.llm_profiles["own"]["api_key"]), "sk-1");
        assert_eq!(open(&out.connections[0]["api_key"]), "sk-1");
        assert_eq!(out.connections[0]["added"], true);
        let settings = out.settings.unwrap();
        assert_eq!(open(&settings["agent_settings"]["llm"]["api_key"]), "sk-1");
        assert_eq!(settings["conversation_settings"]["max_iterations"], 7);
        assert_eq!(
            (&settings["misc_settings"], &settings["active_profile"]),
            (&json!({"a": 1}), &json!("own"))
        );
    }

    #[tokio::test]
    async fn what_was_set_here_stays() {
        let world = world().await;
        let set = |setup: &mut Setup| {
            setup.conversation_settings = json!({"max_iterations": 9});
            Ok(Change::Write(()))
        };
        world.shelves.change(&world.tenant, set).await.unwrap();
        bring(&world.shelves, &world.tenant, &files(&world.vault)).await.unwrap();
        let settings = carry(&world.shelves, &world.tenant).await.unwrap().settings.unwrap();
        assert_eq!(settings["conversation_settings"]["max_iterations"], 9);
        assert_eq!(settings["agent_settings"]["llm"]["model"], "m");
    }
}
