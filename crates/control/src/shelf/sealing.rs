//! Secrets on their way into a shelf and out of it.

use forms::{Form, Step};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use types::TenantId;
use types::secrets::MASK;
use vault::{PEERS_TENANT, Vault};

use super::SecretHealth;
use super::keys::SealedWith;
use crate::Refusal;

/// How secrets are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expose {
    Masked,
    /// As tokens, which a client can bring back and nobody else can use.
    Encrypted,
    Plain,
}

/// A token that somebody sent is not one of this tenant's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unopenable;

/// What is stored was sealed with a key that is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongKey;

impl From<WrongKey> for Refusal {
    fn from(_: WrongKey) -> Self {
        Self::WrongKey
    }
}

/// Seals and opens what one shelf holds.
pub struct Sealing<'a> {
    vault: &'a Vault,
    health: &'a SecretHealth,
    tenant: String,
    context: String,
}

impl<'a> Sealing<'a> {
    pub(super) fn new(vault: &'a Vault, health: &'a SecretHealth, tenant: &TenantId, bucket: &str) -> Self {
        Self { vault, health, context: format!("{tenant}/{bucket}"), tenant: tenant.to_string() }
    }

    #[must_use]
    pub fn seal(&self, plain: &str) -> String {
        self.vault.seal(plain, &self.context)
    }

    /// # Errors
    /// `WrongKey`.
    pub fn open(&self, sealed: &str) -> Result<SecretString, WrongKey> {
        self.vault.open(sealed, &self.context).map_err(|_| {
            self.health.note_unopened();
            WrongKey
        })
    }

    /// The same sealed anew, where only a previous key opens it.
    ///
    /// # Errors
    /// `WrongKey`.
    pub(super) fn renewed(&self, sealed: &str) -> Result<Option<String>, WrongKey> {
        self.vault.renewed(sealed, &self.context).map_err(|_| {
            self.health.note_unopened();
            WrongKey
        })
    }

    pub(super) fn count(&self, sealed: &str, with: &mut SealedWith) {
        with.count(self.vault, sealed, &self.context);
    }

    /// What a client has sent becomes what is stored: a token is opened and sealed, a blank text is none, and a mask stays
    /// one, for [`Sealing::keep_masked`].
    ///
    /// # Errors
    /// `Unopenable`.
    pub fn take(&self, form: &Form, given: &mut Value) -> Result<(), Unopenable> {
        self.take_of(&self.tenant, form, given)
    }

    /// The same of what stands in files of the peer, whose tokens are those of its one tenant. A mask in them stands for nothing.
    ///
    /// # Errors
    /// `Unopenable`.
    pub fn take_brought(&self, form: &Form, given: &mut Value) -> Result<(), Unopenable> {
        self.take_of(PEERS_TENANT, form, given)?;
        self.keep_masked(form, given, &Value::Null);
        Ok(())
    }

    fn take_of(&self, tenant: &str, form: &Form, given: &mut Value) -> Result<(), Unopenable> {
        let mut outcome = Ok(());
        form.map_secrets(given, &mut |_, text| match self.taken(tenant, text) {
            Ok(taken) => taken,
            Err(unopenable) => {
                outcome = Err(unopenable);
                Value::Null
            }
        });
        outcome
    }

    fn taken(&self, tenant: &str, text: &str) -> Result<Value, Unopenable> {
        if text == MASK {
            return Ok(MASK.into());
        }
        if text.trim().is_empty() {
            return Ok(Value::Null);
        }
        if Vault::is_token(text) {
            let plain = self.vault.open_token(text, tenant).map_err(|_| Unopenable)?;
            return Ok(self.seal(plain.expose_secret()).into());
        }
        Ok(self.seal(text).into())
    }

    /// Puts what is stored at a place where the same place of `given` has a mask: null where nothing is.
    pub fn keep_masked(&self, form: &Form, given: &mut Value, stored: &Value) {
        form.map_secrets(given, &mut |at, text| {
            if text == MASK { below(stored, at).cloned().unwrap_or_default() } else { text.into() }
        });
    }

    /// Shows the secrets of what is stored.
    ///
    /// # Errors
    /// `WrongKey`; a mask needs no key.
    pub fn show(&self, form: &Form, value: &mut Value, how: Expose) -> Result<(), WrongKey> {
        each(form, value, |sealed| self.shown(sealed, how))
    }

    /// The secrets of what is stored as files of the peer have them.
    ///
    /// # Errors
    /// `WrongKey`.
    pub fn carry(&self, form: &Form, value: &mut Value) -> Result<(), WrongKey> {
        each(form, value, |sealed| Ok(self.vault.token(self.open(sealed)?.expose_secret(), PEERS_TENANT)))
    }

    fn shown(&self, sealed: &str, how: Expose) -> Result<String, WrongKey> {
        match how {
            Expose::Masked => Ok(MASK.to_owned()),
            Expose::Encrypted => Ok(self.vault.token(self.open(sealed)?.expose_secret(), &self.tenant)),
            Expose::Plain => Ok(self.open(sealed)?.expose_secret().to_owned()),
        }
    }
}

/// Puts another text in the place of every secret.
fn each(
    form: &Form,
    value: &mut Value,
    mut other: impl FnMut(&str) -> Result<String, WrongKey>,
) -> Result<(), WrongKey> {
    let mut outcome = Ok(());
    form.map_secrets(value, &mut |_, sealed| match other(sealed) {
        Ok(text) => text.into(),
        Err(wrong_key) => {
            outcome = Err(wrong_key);
            Value::Null
        }
    });
    outcome
}

fn below<'a>(value: &'a Value, at: &[Step]) -> Option<&'a Value> {
    at.iter().try_fold(value, |value, step| match step {
        Step::Field(name) => value.get(name),
        Step::Index(index) => value.get(index),
    })
}
