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
use crate::shelf::{Change, Sealing, Shelves, fits};

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
        for given in &files.connections {
            let name = format!("provider connection {}", display_name(given));
            outcomes.push((name, attempt(setup, |setup| bring_connection(&sealing, setup, given))));
        }
        for (name, given) in &files.llm_profiles {
            let made = || llm_profile(&sealing, given);
            let came = attempt(setup, |setup| bring_one(&mut setup.llm_profiles, MOST_MODELS, name, made));
            outcomes.push((format!("LLM profile {name}"), came));
        }
        for (name, given) in &files.meta_profiles {
            let made = || whole_meta_profile(given.clone());
            let came = attempt(setup, |setup| bring_one(&mut setup.meta_profiles, MOST_MODELS, name, made));
            outcomes.push((format!("meta-profile {name}"), came));
        }
        for (name, given) in &files.agent_profiles {
            let made = || read_agent_profile(canonical(name), object(given)?);
            let came = attempt(setup, |setup| bring_one(&mut setup.agent_profiles, MOST_AGENTS, name, made));
            outcomes.push((format!("agent profile {name}"), came));
        }
        if let Some(settings) = &files.settings {
            for (name, part) in PARTS {
                let came = attempt(setup, |setup| part(&sealing, setup, settings));
                outcomes.push((name.to_owned(), came));
            }
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

/// What of one thing, and nothing of it where what is kept would then be too much: one that does not fit keeps no other out.
fn attempt(setup: &mut Setup, take: impl FnOnce(&mut Setup) -> Result<Came, Refusal>) -> Came {
    let before = setup.clone();
    let taken = take(setup).and_then(|came| match came {
        Came::New => fits(setup).map(|()| came),
        Came::There | Came::Refused(_) => Ok(came),
    });
    taken.unwrap_or_else(|refusal| {
        *setup = before;
        Came::Refused(says(refusal))
    })
}

type Part = fn(&Sealing<'_>, &mut Setup, &Map<String, Value>) -> Result<Came, Refusal>;

/// Of `settings.json`.
const PARTS: [(&str, Part); 3] = [
    ("agent settings", bring_agent_settings),
    ("conversation settings", bring_conversation_settings),
    ("other settings", bring_misc_settings),
];

/// With the profiles that they are said to be from: beside other settings those would be wrong.
fn bring_agent_settings(
    sealing: &Sealing<'_>,
    setup: &mut Setup,
    given: &Map<String, Value>,
) -> Result<Came, Refusal> {
    let Some(settings) = part_of(given, "agent_settings")? else { return Ok(Came::There) };
    if !setup.agent_settings.is_null() {
        return Ok(Came::There);
    }
    setup.agent_settings = agent_settings(sealing, settings)?;
    let text = |name: &str| given.get(name).and_then(Value::as_str).map(str::to_owned);
    let wanted = text("active_profile").filter(|name| setup.llm_profiles.contains_key(canonical(name)));
    point(&mut setup.active_profile, wanted);
    let wanted = text("active_agent_profile_id").and_then(|id| Uuid::parse_str(&id).ok());
    let wanted = wanted.filter(|id| profile_of(setup, *id).is_some());
    point(&mut setup.active_agent_profile_id, wanted);
    let wanted = text("active_meta_profile").filter(|name| setup.meta_profiles.contains_key(canonical(name)));
    point(&mut setup.active_meta_profile, wanted);
    Ok(Came::New)
}

fn bring_conversation_settings(
    _: &Sealing<'_>,
    setup: &mut Setup,
    given: &Map<String, Value>,
) -> Result<Came, Refusal> {
    match part_of(given, "conversation_settings")? {
        Some(settings) if setup.conversation_settings.is_null() => {
            setup.conversation_settings = conversation_settings(settings)?;
            Ok(Came::New)
        }
        _ => Ok(Came::There),
    }
}

fn bring_misc_settings(
    _: &Sealing<'_>,
    setup: &mut Setup,
    given: &Map<String, Value>,
) -> Result<Came, Refusal> {
    match part_of(given, "misc_settings")? {
        Some(Value::Object(misc)) if setup.misc_settings.is_empty() && !misc.is_empty() => {
            setup.misc_settings = misc;
            Ok(Came::New)
        }
        _ => Ok(Came::There),
    }
}

fn part_of(given: &Map<String, Value>, name: &str) -> Result<Option<Value>, Refusal> {
    let is_newer = given.get("schema_version").and_then(Value::as_u64).is_some_and(|v| v > SCHEMA_VERSION);
    if is_newer {
        return Err(Refusal::Unfit("they are of a newer release".to_owned()));
    }
    Ok(given.get(name).filter(|value| !value.is_null()).cloned())
}

fn point<T>(place: &mut Option<T>, wanted: Option<T>) {
    if place.is_none() {
        *place = wanted;
    }
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

fn bring_connection(sealing: &Sealing<'_>, setup: &mut Setup, given: &Value) -> Result<Came, Refusal> {
    if setup.connections.iter().any(|there| given.get("id").and_then(Value::as_str) == Some(&there.id)) {
        return Ok(Came::There);
    }
    let mut given = given.clone();
    // Its key stands where that of a model does.
    sealing.take_brought(forms::llm(), &mut given).map_err(|_| unopenable())?;
    let connection = serde_json::from_value::<Connection>(given);
    let connection = connection.map_err(|_| Refusal::Unfit("it is not whole".to_owned()))?;
    if setup.connections.len() >= MOST_CONNECTIONS {
        return Err(Refusal::Unfit(format!("there may be {MOST_CONNECTIONS} connections")));
    }
    setup.connections.push(connection);
    Ok(Came::New)
}

fn display_name(connection: &Value) -> &str {
    connection.get("display_name").and_then(Value::as_str).unwrap_or("without a name")
}

fn bring_one(
    kept: &mut BTreeMap<String, Value>,
    most: usize,
    name: &str,
    made: impl FnOnce() -> Result<Value, Refusal>,
) -> Result<Came, Refusal> {
    let name = canonical(name);
    if kept.contains_key(name) {
        return Ok(Came::There);
    }
    if kept.len() >= most {
        return Err(Refusal::Unfit(format!("there may be {most} of a kind")));
    }
    kept.insert(name.to_owned(), made()?);
    Ok(Came::New)
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
mod tests;
