//! Meta-profiles: how an agent chooses between models. They hold no secrets; what they name are LLM profiles.

use forms::Trouble;
use serde_json::Value;
use types::TenantId;

use super::model::value_error;
use super::shared::set;
use super::{Setup, Setups, canonical, meta_profile_routes, route_by};
use crate::Refusal;
use crate::shelf::Change;

const MOST_PROFILES: usize = 50;
const MOST_BYTES: usize = 256 << 10;

const BODY: &[&str] = &["body"];

/// A meta-profile in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaProfileListed {
    pub name: String,
    pub classifier_model: Option<String>,
    pub num_classes: usize,
}

/// By name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetaProfiles {
    pub profiles: Vec<MetaProfileListed>,
    pub active: Option<String>,
}

impl Setups {
    /// # Errors
    /// Those of the shelf.
    pub async fn meta_profiles(&self, tenant: &TenantId) -> Result<MetaProfiles, Refusal> {
        let setup = self.ground.shelves.read::<Setup>(tenant).await?;
        let stored = setup.meta_profiles.iter().filter(|(_, profile)| profile.is_object());
        let profiles = stored.map(|(name, profile)| listed(name, profile)).collect();
        Ok(MetaProfiles { profiles, active: setup.active_meta_profile })
    }

    /// # Errors
    /// `Missing`, `Bad` where it cannot be read, those of the shelf.
    pub async fn meta_profile(&self, tenant: &TenantId, name: &str) -> Result<Value, Refusal> {
        let setup = self.ground.shelves.read::<Setup>(tenant).await?;
        stored(&setup, name)
    }

    /// Makes a meta-profile, or replaces the one of its name. An active one goes on as it was when it was activated.
    ///
    /// # Errors
    /// `Taken` where there are too many, `TooLarge`, `Troubles`, those of the shelf.
    pub async fn save_meta_profile(
        &self,
        tenant: &TenantId,
        name: &str,
        given: Value,
    ) -> Result<(), Refusal> {
        let (name, profile) = (canonical(name), whole(given)?);
        let save = |setup: &mut Setup| {
            if !setup.meta_profiles.contains_key(name) && setup.meta_profiles.len() >= MOST_PROFILES {
                return Err(Refusal::Taken(format!(
                    "Meta-profile limit reached ({MOST_PROFILES}). Delete a meta-profile before saving a new one."
                )));
            }
            setup.meta_profiles.insert(name.to_owned(), profile.clone());
            Ok(Change::Write(()))
        };
        self.ground.shelves.change(tenant, save).await
    }

    /// One that is not there is deleted already. Of an active one nothing is left in the settings.
    ///
    /// # Errors
    /// Those of the shelf.
    pub async fn delete_meta_profile(&self, tenant: &TenantId, name: &str) -> Result<(), Refusal> {
        let delete = |setup: &mut Setup| {
            let was_there = setup.meta_profiles.remove(canonical(name)).is_some();
            let was_active = setup.active_meta_profile.as_deref().map(canonical) == Some(canonical(name));
            if was_active && route_by(setup, None) {
                set(setup, "meta_profile", Value::Null);
            }
            Ok(if was_there || was_active { Change::Write(()) } else { Change::Nothing(()) })
        };
        self.ground.shelves.change(tenant, delete).await
    }

    /// Lets new agents choose by it. False where agents of the kind that is set cannot choose: then nothing changes.
    ///
    /// # Errors
    /// As [`Setups::meta_profile`].
    pub async fn activate_meta_profile(&self, tenant: &TenantId, name: &str) -> Result<bool, Refusal> {
        let activate = |setup: &mut Setup| {
            let profile = stored(setup, name)?;
            if !route_by(setup, Some(canonical(name))) {
                return Ok(Change::Nothing(false));
            }
            set(setup, "meta_profile", profile);
            Ok(Change::Write(true))
        };
        self.ground.shelves.change(tenant, activate).await
    }
}

fn listed(name: &str, profile: &Value) -> MetaProfileListed {
    MetaProfileListed {
        name: name.to_owned(),
        classifier_model: profile.get("classifier_model").and_then(Value::as_str).map(str::to_owned),
        num_classes: profile.get("classes").and_then(Value::as_array).map_or(0, Vec::len),
    }
}

fn stored(setup: &Setup, name: &str) -> Result<Value, Refusal> {
    let profile = setup.meta_profiles.get(canonical(name)).cloned();
    let profile = profile.ok_or_else(|| Refusal::Missing(format!("Meta-profile '{name}' not found")))?;
    let filled = forms::meta_profile().fill(profile);
    filled.map_err(|_| Refusal::Bad(format!("Meta-profile '{name}' cannot be read")))
}

/// A whole meta-profile as it was sent.
pub(super) fn whole(given: Value) -> Result<Value, Refusal> {
    if given.to_string().len() > MOST_BYTES {
        return Err(Refusal::TooLarge("A meta-profile may have at most 256 KiB."));
    }
    let profile = forms::meta_profile().fill(given).map_err(troubles)?;
    meta_profile_routes(&profile).map_err(|why| troubles(vec![value_error(why)]))?;
    Ok(profile)
}

fn troubles(list: Vec<Trouble>) -> Refusal {
    Refusal::Troubles { root: BODY, list }
}
