//! The named secrets that a tenant keeps. No conversation gets one by itself: a client names those that it may look up.

mod document;

use secrecy::{ExposeSecret, SecretString};
use types::TenantId;

use crate::Refusal;
use crate::ground::Ground;
use crate::shelf::{Change, Shelves};
pub use document::{Listed, NamedSecrets};
use document::{MOST_BYTES, MOST_SECRETS, Named};

/// The named secrets of tenants. Cheap to clone.
#[derive(Clone)]
pub struct TenantSecrets {
    shelves: Shelves,
}

impl TenantSecrets {
    pub(crate) fn new(ground: &Ground) -> Self {
        Self::on(ground.shelves.clone())
    }

    #[must_use]
    pub fn on(shelves: Shelves) -> Self {
        Self { shelves }
    }

    /// In the order in which they were made, without values.
    ///
    /// # Errors
    /// Those of the shelf.
    pub async fn list(&self, tenant: &TenantId) -> Result<Vec<Listed>, Refusal> {
        Ok(self.shelves.read::<NamedSecrets>(tenant).await?.listed())
    }

    /// # Errors
    /// `Missing`, `WrongKey`, those of the shelf.
    pub async fn value(&self, tenant: &TenantId, name: &str) -> Result<SecretString, Refusal> {
        let kept = self.shelves.read::<NamedSecrets>(tenant).await?;
        let secret = kept.get(name).ok_or_else(missing)?;
        Ok(self.shelves.sealing::<NamedSecrets>(tenant).open(&secret.value)?)
    }

    /// The names of all secrets that do not open, by tenant; `None`: what it keeps cannot be read at all.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn unopened(&self) -> Result<Vec<(TenantId, Option<Vec<String>>)>, Refusal> {
        let mut found = Vec::new();
        for (tenant, count) in self.shelves.unopened::<NamedSecrets>().await? {
            if count.is_none() {
                found.push((tenant, None));
                continue;
            }
            let sealing = self.shelves.sealing::<NamedSecrets>(&tenant);
            let kept = self.shelves.read::<NamedSecrets>(&tenant).await?;
            let names = kept.all().filter(|secret| sealing.open(&secret.value).is_err());
            let names = names.map(|secret| secret.name.clone()).collect();
            found.push((tenant, Some(names)));
        }
        Ok(found)
    }

    /// Makes a secret, or replaces the one of its name, which keeps its place.
    ///
    /// # Errors
    /// `TooLarge`, those of the shelf.
    pub async fn put(
        &self,
        tenant: &TenantId,
        name: &str,
        value: &SecretString,
        description: Option<&str>,
    ) -> Result<(), Refusal> {
        let secret = self.named(tenant, name, value, description)?;
        self.shelves.change(tenant, |kept: &mut NamedSecrets| with(kept, &secret)).await
    }

    /// Makes a secret, unless there is one of its name, which stays. Whether it was made.
    ///
    /// # Errors
    /// `TooLarge`, those of the shelf.
    pub async fn make(
        &self,
        tenant: &TenantId,
        name: &str,
        value: &SecretString,
        description: Option<&str>,
    ) -> Result<bool, Refusal> {
        let secret = self.named(tenant, name, value, description)?;
        let make = |kept: &mut NamedSecrets| match kept.get(name) {
            Some(_) => Ok(Change::Nothing(false)),
            None => with(kept, &secret).map(|_| Change::Write(true)),
        };
        self.shelves.change(tenant, make).await
    }

    fn named(
        &self,
        tenant: &TenantId,
        name: &str,
        value: &SecretString,
        description: Option<&str>,
    ) -> Result<Named, Refusal> {
        if value.expose_secret().len() > MOST_BYTES {
            return Err(Refusal::TooLarge("A secret may have at most 64 KiB."));
        }
        let sealed = self.shelves.sealing::<NamedSecrets>(tenant).seal(value.expose_secret());
        Ok(Named::new(name, &sealed, description))
    }

    /// # Errors
    /// `Missing`, those of the shelf.
    pub async fn delete(&self, tenant: &TenantId, name: &str) -> Result<(), Refusal> {
        let delete = |kept: &mut NamedSecrets| match kept.remove(name) {
            true => Ok(Change::Write(())),
            false => Err(missing()),
        };
        self.shelves.change(tenant, delete).await
    }
}

fn with(kept: &mut NamedSecrets, secret: &Named) -> Result<Change<()>, Refusal> {
    kept.put(secret.clone());
    if kept.len() > MOST_SECRETS {
        return Err(Refusal::TooLarge("A tenant may keep at most 1,000 secrets."));
    }
    Ok(Change::Write(()))
}

fn missing() -> Refusal {
    Refusal::Missing("Secret not found".to_owned())
}
