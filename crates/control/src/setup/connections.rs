//! Connections with providers: a key, and perhaps an address, that several LLM profiles use.

use serde_json::{Map, Value, json};
use types::TenantId;
use types::time::unix_ms;
use uuid::Uuid;

use super::agent::Unfit;
use super::settings::refused;
use super::{Connection, Setup, Setups};
use crate::Refusal;
use crate::shelf::{Change, Sealing};

pub(super) const MOST_CONNECTIONS: usize = 64;

/// A connection without its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionListed {
    pub id: String,
    pub display_name: String,
    pub provider: String,
    pub base_url: Option<String>,
    /// In seconds since 1970.
    pub created_at: i64,
    pub updated_at: i64,
}

/// What a connection is made from.
pub struct NewConnection {
    pub display_name: String,
    pub provider: String,
    pub api_key: String,
    pub base_url: Option<String>,
}

/// What is to change of a connection; `Some(None)` where null was sent.
pub struct ConnectionChange {
    pub display_name: Option<String>,
    pub provider: Option<String>,
    pub api_key: Option<Option<String>>,
    pub base_url: Option<Option<String>>,
}

impl ConnectionChange {
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        let has_text = self.display_name.is_some() || self.provider.is_some();
        !has_text && self.api_key.is_none() && self.base_url.is_none()
    }
}

impl Setups {
    /// In the order in which they were made.
    ///
    /// # Errors
    /// Those of the shelf.
    pub async fn connections(&self, tenant: &TenantId) -> Result<Vec<ConnectionListed>, Refusal> {
        let setup = self.ground.shelves.read::<Setup>(tenant).await?;
        Ok(setup.connections.iter().map(ConnectionListed::from).collect())
    }

    /// # Errors
    /// `Taken` where there are too many; `Unfit` for a token of another tenant; those of the shelf.
    pub async fn add_connection(
        &self,
        tenant: &TenantId,
        new: NewConnection,
    ) -> Result<ConnectionListed, Refusal> {
        let now = seconds();
        let connection = Connection {
            id: Uuid::new_v4().simple().to_string(),
            display_name: new.display_name,
            provider: new.provider,
            api_key: sealed(&self.sealing(tenant), &new.api_key)?,
            base_url: new.base_url,
            created_at: now,
            updated_at: now,
            rest: Map::new(),
        };
        let add = |setup: &mut Setup| {
            if setup.connections.len() >= MOST_CONNECTIONS {
                return Err(Refusal::Taken(format!(
                    "Provider connection limit reached ({MOST_CONNECTIONS}). Delete one before adding another."
                )));
            }
            setup.connections.push(connection.clone());
            Ok(Change::Write(ConnectionListed::from(&connection)))
        };
        self.ground.shelves.change(tenant, add).await
    }

    /// Whoever refers to it has the new key with the next launch.
    ///
    /// # Errors
    /// `Missing`; `Unfit` where the key would be taken away, or is a token of another tenant; those of the shelf.
    pub async fn change_connection(
        &self,
        tenant: &TenantId,
        id: &str,
        change: &ConnectionChange,
    ) -> Result<ConnectionListed, Refusal> {
        let sealing = self.sealing(tenant);
        let apply = |setup: &mut Setup| {
            let connection = setup.connections.iter_mut().find(|connection| connection.id == id);
            let connection = connection.ok_or_else(|| missing(id))?;
            match &change.api_key {
                Some(Some(key)) => connection.api_key = sealed(&sealing, key)?,
                Some(None) => {
                    let told = "api_key cannot be cleared; provide a new key to rotate it";
                    return Err(Refusal::Unfit(told.to_owned()));
                }
                None => {}
            }
            if let Some(display_name) = &change.display_name {
                connection.display_name.clone_from(display_name);
            }
            if let Some(provider) = &change.provider {
                connection.provider.clone_from(provider);
            }
            if let Some(base_url) = &change.base_url {
                connection.base_url.clone_from(base_url);
            }
            connection.updated_at = seconds();
            Ok(Change::Write(ConnectionListed::from(&*connection)))
        };
        self.ground.shelves.change(tenant, apply).await
    }

    /// Answers what it was.
    ///
    /// # Errors
    /// `Missing`; `Taken` while somebody refers to it; those of the shelf.
    pub async fn delete_connection(&self, tenant: &TenantId, id: &str) -> Result<ConnectionListed, Refusal> {
        let delete = |setup: &mut Setup| {
            let at = setup.connections.iter().position(|connection| connection.id == id);
            let at = at.ok_or_else(|| missing(id))?;
            if let Some(why) = references(setup, id) {
                return Err(Refusal::Taken(format!(
                    "Provider connection cannot be deleted while it is {why}. Update those references before deleting it."
                )));
            }
            Ok(Change::Write(ConnectionListed::from(&setup.connections.remove(at))))
        };
        self.ground.shelves.change(tenant, delete).await
    }
}

impl From<&Connection> for ConnectionListed {
    fn from(connection: &Connection) -> Self {
        Self {
            id: connection.id.clone(),
            display_name: connection.display_name.clone(),
            provider: connection.provider.clone(),
            base_url: connection.base_url.clone(),
            created_at: connection.created_at,
            updated_at: connection.updated_at,
        }
    }
}

/// Who refers to a connection, in words.
fn references(setup: &Setup, id: &str) -> Option<String> {
    let refers = |llm: &Value| {
        llm.get("provider_connection_id").and_then(Value::as_str).is_some_and(|named| named == id)
    };
    let profiles = setup.llm_profiles.iter().filter(|(_, llm)| refers(llm));
    let profiles: Vec<&str> = profiles.map(|(name, _)| name.as_str()).collect();
    let mut reasons = Vec::new();
    if !profiles.is_empty() {
        reasons.push(format!("referenced by LLM profile(s): {}", profiles.join(", ")));
    }
    if setup.agent_settings.get("llm").is_some_and(refers) {
        reasons.push("referenced by the active agent settings".to_owned());
    }
    (!reasons.is_empty()).then(|| reasons.join(" and "))
}

/// A key is taken as that of a model is.
fn sealed(sealing: &Sealing<'_>, key: &str) -> Result<String, Refusal> {
    let mut given = json!({ "api_key": key });
    sealing.take(forms::llm(), &mut given).map_err(|_| refused(Unfit::Unopenable))?;
    match given.get_mut("api_key").map(Value::take) {
        Some(Value::String(sealed)) => Ok(sealed),
        _ => Err(Refusal::Unfit("api_key must be a real key, not blank or redacted".to_owned())),
    }
}

fn missing(id: &str) -> Refusal {
    Refusal::Missing(format!("Provider connection '{id}' not found"))
}

fn seconds() -> i64 {
    i64::try_from(unix_ms() / 1_000).unwrap_or(i64::MAX)
}
