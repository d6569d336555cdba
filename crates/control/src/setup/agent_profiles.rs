//! Agent profiles: what agents are made from, by name. They refer to models, servers and secrets, and hold none.

use serde_json::{Map, Value};
use types::TenantId;
use uuid::Uuid;

use super::active::{MOST_PROFILES, activate_some, give_up_other_agents, id_of, is_some_active, profile_of};
use super::agent_profile::read_agent_profile;
use super::{Setup, Setups, canonical};
use crate::Refusal;
use crate::shelf::Change;

/// The agent profiles of a tenant, by name.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentProfiles {
    pub profiles: Vec<(String, Value)>,
    pub active: Option<Uuid>,
}

impl Setups {
    /// All of them. `may_write`: where none is active, one becomes it, and is made if there is none.
    ///
    /// # Errors
    /// Those of the shelf.
    pub async fn agent_profiles(&self, tenant: &TenantId, may_write: bool) -> Result<AgentProfiles, Refusal> {
        let setup = self.ground.shelves.read::<Setup>(tenant).await?;
        if is_some_active(&setup) || !may_write {
            return Ok(listed(&setup));
        }
        let fresh = Uuid::new_v4();
        let activate = |setup: &mut Setup| {
            let writes = activate_some(setup, fresh);
            let listed = listed(setup);
            Ok(if writes { Change::Write(listed) } else { Change::Nothing(listed) })
        };
        self.ground.shelves.change(tenant, activate).await
    }

    /// # Errors
    /// `Missing`, those of the shelf.
    pub async fn agent_profile(&self, tenant: &TenantId, name: &str) -> Result<Value, Refusal> {
        let mut setup = self.ground.shelves.read::<Setup>(tenant).await?;
        setup.agent_profiles.remove(canonical(name)).ok_or_else(|| missing(name))
    }

    /// Makes a profile, or replaces the one of its name, whose id stays and whose revision grows.
    ///
    /// # Errors
    /// `Troubles`, `Unfit`, `TooLarge`, `Taken` where there are as many as a tenant may have, those of the shelf.
    pub async fn save_agent_profile(
        &self,
        tenant: &TenantId,
        name: &str,
        given: Map<String, Value>,
    ) -> Result<(), Refusal> {
        let (name, fresh) = (canonical(name), Uuid::new_v4());
        let profile = read_agent_profile(name, given)?;
        let save = |setup: &mut Setup| {
            let stored = setup.agent_profiles.get(name);
            if stored.is_none() && setup.agent_profiles.len() >= MOST_PROFILES {
                return Err(Refusal::Taken(format!(
                    "Agent profile limit reached ({MOST_PROFILES}). Delete a profile before saving a new one."
                )));
            }
            let mut profile = profile.clone();
            if let Some(fields) = profile.as_object_mut() {
                let stored = stored.and_then(|stored| Some((id_of(stored)?, revision_of(stored))));
                let id = stored.map_or(fresh, |(id, _)| id);
                fields.insert("id".to_owned(), id.to_string().into());
                if let Some((_, revision)) = stored {
                    fields.insert("revision".to_owned(), revision.saturating_add(1).into());
                }
            }
            setup.agent_profiles.insert(name.to_owned(), profile);
            Ok(Change::Write(()))
        };
        self.ground.shelves.change(tenant, save).await
    }

    /// What is not there is no failure. Where it was the active one, another becomes it.
    ///
    /// # Errors
    /// Those of the shelf.
    pub async fn delete_agent_profile(&self, tenant: &TenantId, name: &str) -> Result<(), Refusal> {
        let fresh = Uuid::new_v4();
        let delete = |setup: &mut Setup| {
            let Some(deleted) = setup.agent_profiles.remove(canonical(name)) else {
                return Ok(Change::Nothing(()));
            };
            if id_of(&deleted).is_some_and(|id| setup.active_agent_profile_id == Some(id)) {
                setup.active_agent_profile_id = None;
                give_up_other_agents(setup);
                activate_some(setup, fresh);
            }
            Ok(Change::Write(()))
        };
        self.ground.shelves.change(tenant, delete).await
    }

    /// The id stays, and so does what refers to it.
    ///
    /// # Errors
    /// `Missing`, `Taken`, those of the shelf.
    pub async fn rename_agent_profile(
        &self,
        tenant: &TenantId,
        name: &str,
        new_name: &str,
    ) -> Result<(), Refusal> {
        let (old, new) = (canonical(name), canonical(new_name));
        let rename = |setup: &mut Setup| {
            if !setup.agent_profiles.contains_key(old) {
                return Err(missing(name));
            }
            if old == new {
                return Ok(Change::Nothing(()));
            }
            if setup.agent_profiles.contains_key(new) {
                return Err(Refusal::Taken(format!("Agent profile '{new_name}' already exists")));
            }
            let mut profile = setup.agent_profiles.remove(old).unwrap_or_default();
            if let Some(fields) = profile.as_object_mut() {
                fields.insert("name".to_owned(), new.into());
            }
            setup.agent_profiles.insert(new.to_owned(), profile);
            Ok(Change::Write(()))
        };
        self.ground.shelves.change(tenant, rename).await
    }

    /// Only what new conversations are made from changes by it.
    ///
    /// # Errors
    /// `Missing`, those of the shelf.
    pub async fn activate_agent_profile(&self, tenant: &TenantId, id: &str) -> Result<(), Refusal> {
        let missing = || Refusal::Missing(format!("Agent profile with id '{id}' not found"));
        // As it is shown, and not otherwise.
        let wanted =
            Uuid::parse_str(id).ok().filter(|wanted| wanted.to_string() == id).ok_or_else(missing)?;
        let activate = |setup: &mut Setup| {
            profile_of(setup, wanted).ok_or_else(missing)?;
            setup.active_agent_profile_id = Some(wanted);
            Ok(Change::Write(()))
        };
        self.ground.shelves.change(tenant, activate).await
    }
}

/// What is no object, a newer release may have written.
fn listed(setup: &Setup) -> AgentProfiles {
    let profiles = setup.agent_profiles.iter().filter(|(_, profile)| profile.is_object());
    AgentProfiles {
        profiles: profiles.map(|(name, profile)| (name.clone(), profile.clone())).collect(),
        active: setup.active_agent_profile_id,
    }
}

fn revision_of(profile: &Value) -> u64 {
    profile.get("revision").and_then(Value::as_u64).unwrap_or_default()
}

fn missing(name: &str) -> Refusal {
    Refusal::Missing(format!("Agent profile '{name}' not found"))
}
