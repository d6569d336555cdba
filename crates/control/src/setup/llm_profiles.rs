//! LLM profiles: models by name.

use serde_json::Value;
use types::TenantId;

use super::shared::connection;
use super::{Setup, Setups, apply_llm, canonical, linked, model, profile_llm, referrers};
use crate::Refusal;
use crate::shelf::{Change, Expose};

pub(super) const MOST_PROFILES: usize = 50;

/// A profile in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LlmProfileListed {
    pub name: String,
    pub model: Option<String>,
    pub base_url: Option<String>,
    pub provider_connection_id: Option<String>,
    /// It names a connection that is not there.
    pub provider_connection_broken: bool,
    /// Its own key or that of its connection.
    pub api_key_set: bool,
}

/// By name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LlmProfiles {
    pub profiles: Vec<LlmProfileListed>,
    pub active: Option<String>,
}

/// One profile as it is shown.
#[derive(Clone, Debug, PartialEq)]
pub struct LlmProfile {
    pub config: Value,
    pub api_key_set: bool,
}

impl Setups {
    /// # Errors
    /// Those of the shelf.
    pub async fn llm_profiles(&self, tenant: &TenantId) -> Result<LlmProfiles, Refusal> {
        let setup = self.ground.shelves.read::<Setup>(tenant).await?;
        let models = setup.llm_profiles.iter().filter(|(_, llm)| llm.is_object());
        let profiles = models.map(|(name, llm)| listed(&setup, name, llm)).collect();
        Ok(LlmProfiles { profiles, active: setup.active_profile })
    }

    /// In plain text a profile is as it will be put to use: with what its connection has.
    ///
    /// # Errors
    /// `Missing`; `Unfit` where the connection is not there; `WrongKey`; those of the shelf.
    pub async fn llm_profile(
        &self,
        tenant: &TenantId,
        name: &str,
        how: Expose,
    ) -> Result<LlmProfile, Refusal> {
        let setup = self.ground.shelves.read::<Setup>(tenant).await?;
        let mut config = model::complete(profile_llm(&setup, name)?);
        if how == Expose::Plain {
            config = linked(&setup, Some(name), config)?;
        }
        let api_key_set = has_key(&setup, &config);
        self.sealing(tenant).show(forms::llm(), &mut config, how)?;
        if how == Expose::Masked {
            clear(&mut config, "api_key");
        }
        Ok(LlmProfile { config, api_key_set })
    }

    /// Makes a profile, or replaces the one of its name. One that names a connection has neither key nor address of its own:
    /// they could say something else than the connection.
    ///
    /// # Errors
    /// `Taken` where there are too many, `TooLarge`, `Troubles`, `Unfit`, those of the shelf.
    pub async fn save_llm_profile(
        &self,
        tenant: &TenantId,
        name: &str,
        given: Value,
        with_secrets: bool,
    ) -> Result<(), Refusal> {
        let (name, given) = (canonical(name), model::whole(given)?);
        let sealing = self.sealing(tenant);
        let save = |setup: &mut Setup| {
            let stored = setup.llm_profiles.get(name);
            if stored.is_none() && setup.llm_profiles.len() >= MOST_PROFILES {
                return Err(Refusal::Taken(format!(
                    "Profile limit reached ({MOST_PROFILES}). Delete a profile before saving a new one."
                )));
            }
            let mut llm = model::sealed(&sealing, given.clone(), stored.unwrap_or(&Value::Null))?;
            if connection_id(&llm).is_some() {
                clear(&mut llm, "api_key");
                clear(&mut llm, "base_url");
            }
            if !with_secrets {
                llm = model::without_secrets(llm);
            }
            setup.llm_profiles.insert(name.to_owned(), llm);
            Ok(Change::Write(()))
        };
        self.ground.shelves.change(tenant, save).await
    }

    /// One that is not there is deleted already.
    ///
    /// # Errors
    /// `Taken` while agent profiles refer to it; those of the shelf.
    pub async fn delete_llm_profile(&self, tenant: &TenantId, name: &str) -> Result<(), Refusal> {
        let delete = |setup: &mut Setup| {
            let referrers = referrers(setup, name);
            if !referrers.is_empty() {
                return Err(Refusal::Taken(format!(
                    "LLM profile is referenced by {} agent profile(s): {}",
                    referrers.len(),
                    referrers.join(", ")
                )));
            }
            let was_there = setup.llm_profiles.remove(canonical(name)).is_some();
            let was_active = is_active(setup, name);
            if was_active {
                setup.active_profile = None;
            }
            Ok(if was_there || was_active { Change::Write(()) } else { Change::Nothing(()) })
        };
        self.ground.shelves.change(tenant, delete).await
    }

    /// Agent profiles that refer to it, and whether it is active, go along. Meta-profiles name models by themselves, and stay.
    ///
    /// # Errors
    /// `Missing`; `Taken` where there is one of the new name; those of the shelf.
    pub async fn rename_llm_profile(
        &self,
        tenant: &TenantId,
        name: &str,
        new_name: &str,
    ) -> Result<(), Refusal> {
        let rename = |setup: &mut Setup| {
            let llm = profile_llm(setup, name)?;
            let (old, new) = (canonical(name), canonical(new_name));
            if old == new {
                return Ok(Change::Nothing(()));
            }
            if setup.llm_profiles.contains_key(new) {
                return Err(Refusal::Taken(format!("Profile '{new_name}' already exists")));
            }
            for referrer in referrers(setup, old) {
                let profile = setup.agent_profiles.get_mut(&referrer).and_then(Value::as_object_mut);
                if let Some(fields) = profile {
                    fields.insert("llm_profile_ref".to_owned(), new.into());
                }
            }
            if is_active(setup, old) {
                setup.active_profile = Some(new.to_owned());
            }
            setup.llm_profiles.remove(old);
            setup.llm_profiles.insert(new.to_owned(), llm);
            Ok(Change::Write(()))
        };
        self.ground.shelves.change(tenant, rename).await
    }

    /// Makes a profile the active one, and its model that of new agents. False where agents of the kind that is set have no model.
    ///
    /// # Errors
    /// `Missing`; `Unfit` where its connection is not there; those of the shelf.
    pub async fn activate_llm_profile(&self, tenant: &TenantId, name: &str) -> Result<bool, Refusal> {
        let activate = |setup: &mut Setup| {
            let llm = linked(setup, Some(name), model::complete(profile_llm(setup, name)?))?;
            Ok(Change::Write(apply_llm(setup, llm, name)))
        };
        self.ground.shelves.change(tenant, activate).await
    }
}

fn listed(setup: &Setup, name: &str, llm: &Value) -> LlmProfileListed {
    let text = |field: &str| llm.get(field).and_then(Value::as_str).map(str::to_owned);
    let link = text("provider_connection_id");
    let is_broken = link.as_deref().is_some_and(|id| connection(setup, id).is_none());
    LlmProfileListed {
        name: name.to_owned(),
        model: text("model"),
        base_url: text("base_url"),
        provider_connection_id: link,
        provider_connection_broken: is_broken,
        api_key_set: has_key(setup, llm),
    }
}

/// A sealed key need not be opened to be one.
fn has_key(setup: &Setup, llm: &Value) -> bool {
    let is_own = llm.get("api_key").is_some_and(Value::is_string);
    is_own || connection_id(llm).is_some_and(|id| connection(setup, id).is_some())
}

pub(super) fn connection_id(llm: &Value) -> Option<&str> {
    llm.get("provider_connection_id").and_then(Value::as_str)
}

fn is_active(setup: &Setup, name: &str) -> bool {
    setup.active_profile.as_deref().map(canonical) == Some(canonical(name))
}

pub(super) fn clear(llm: &mut Value, field: &str) {
    if let Some(fields) = llm.as_object_mut() {
        fields.insert(field.to_owned(), Value::Null);
    }
}
