//! How an agent is made of what a tenant has set. An agent profile says by name which model, which servers and which tools its
//! agents have; a launch puts what is meant in their places, and what cannot be found is told all at once.
//!
//! The outcome are agent settings, in which nothing refers to anything any more: they make an agent as those do that a client
//! sends. A preview is the same launch, with its secrets masked and its failures in the answer, so it cannot disagree with one.

mod another;
mod preview;
mod resolve;
mod skills;
mod tools;
mod unlaunchable;

use secrecy::ExposeSecret;
use serde_json::Value;
use types::TenantId;
use types::conversation::LaunchedAgentProfile;
use types::extensions::Skill;
use uuid::Uuid;

use crate::Refusal;
use crate::extensions::Extensions;
use crate::ground::Ground;
use crate::setup::{Setup, agent_form, linked, profile_llm, profile_of};
use crate::shelf::{Expose, Shelves};
pub use preview::AgentProfileDiagnostics;
pub use tools::{BROWSER, Tools, is_same_tool};

/// How an agent is made of what a tenant has set. Cheap to clone.
#[derive(Clone)]
pub struct Launch {
    shelves: Shelves,
    extensions: Extensions,
}

/// What an agent is made from, and what is noted of it.
#[derive(Debug)]
pub struct Launched {
    /// Agent settings, secrets in plain text.
    pub settings: Value,
    pub profile: LaunchedAgentProfile,
}

impl Launch {
    pub(crate) fn new(ground: &Ground, extensions: Extensions) -> Self {
        Self { shelves: ground.shelves.clone(), extensions }
    }

    /// Of the agent profile of this id. `model`: the model profile that takes the place of the profile's own.
    ///
    /// # Errors
    /// `Missing`, `Coded` with all that the profile refers to in vain, `WrongKey`, those of the shelf.
    pub async fn of_profile(
        &self,
        tenant: &TenantId,
        id: Uuid,
        model: Option<&str>,
        tools: &Tools,
    ) -> Result<Launched, Refusal> {
        let setup = self.shelves.read::<Setup>(tenant).await?;
        let missing = || Refusal::Missing(format!("Agent profile with id '{id}' not found"));
        let (_, profile) = profile_of(&setup, id).ok_or_else(missing)?;
        let catalogue = self.catalogue(tenant, profile).await;
        let mut settings = resolve::resolve(&setup, profile, model, tools, &catalogue)?;
        self.shelves.sealing::<Setup>(tenant).show(agent_form(&settings), &mut settings, Expose::Plain)?;
        let profile = LaunchedAgentProfile {
            agent_profile_id: id,
            revision: profile.get("revision").and_then(Value::as_u64).unwrap_or_default(),
            secret_refs: resolve::texts(profile, "secret_refs"),
            llm_profile_ref: model.map(str::to_owned),
        };
        Ok(Launched { settings, profile })
    }

    /// The skills that an agent of this profile may have: none is no failure.
    async fn catalogue(&self, tenant: &TenantId, profile: &Value) -> Vec<(Skill, bool)> {
        if another::is_another(profile) {
            return Vec::new();
        }
        self.extensions.at_hand(tenant).await.unwrap_or_else(|refusal| {
            tracing::warn!(%tenant, ?refusal, "an agent is made without skills");
            Vec::new()
        })
    }

    /// The model of an LLM profile, with what its provider connection has, secrets in plain text.
    ///
    /// # Errors
    /// `Missing`, `Unfit` where its connection is not there, `WrongKey`, those of the shelf.
    pub async fn model(&self, tenant: &TenantId, profile: &str) -> Result<Value, Refusal> {
        let setup = self.shelves.read::<Setup>(tenant).await?;
        let mut model = linked(&setup, Some(profile), profile_llm(&setup, profile)?)?;
        self.shelves.sealing::<Setup>(tenant).show(forms::llm(), &mut model, Expose::Plain)?;
        Ok(model)
    }

    /// The names of the LLM profiles.
    ///
    /// # Errors
    /// Those of the shelf.
    pub async fn models(&self, tenant: &TenantId) -> Result<Vec<String>, Refusal> {
        let setup = self.shelves.read::<Setup>(tenant).await?;
        Ok(setup.llm_profiles.into_keys().collect())
    }

    /// A model that a client has sent, in plain text, with the key and the address of the provider connection that it names. One
    /// that is not there is no failure where the model has a key of its own.
    ///
    /// # Errors
    /// `Unfit` where its connection is not there, `WrongKey`, those of the shelf.
    pub async fn linked_model(&self, tenant: &TenantId, mut model: Value) -> Result<Value, Refusal> {
        if text(&model, "provider_connection_id").is_none_or(str::is_empty) {
            return Ok(model);
        }
        let setup = self.shelves.read::<Setup>(tenant).await?;
        let connected = match linked(&setup, None, model.clone()) {
            Err(Refusal::Unfit(_)) if text(&model, "api_key").is_some() => return Ok(model),
            connected => connected?,
        };
        // Sealed is only what the connection has.
        if let (Some(fields), Some(sealed)) = (model.as_object_mut(), text(&connected, "api_key")) {
            let key = self.shelves.sealing::<Setup>(tenant).open(sealed)?;
            fields.insert("api_key".to_owned(), key.expose_secret().into());
            fields.insert("base_url".to_owned(), text(&connected, "base_url").into());
        }
        Ok(model)
    }
}

fn text<'a>(value: &'a Value, field: &str) -> Option<&'a str> {
    value.get(field).and_then(Value::as_str)
}
