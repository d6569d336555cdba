//! Secrets of a conversation on their way into its record and out of it.

use std::collections::BTreeMap;

use secrecy::ExposeSecret;
use serde_json::Value;
use types::agent::document::map_secrets;
use types::conversation::ConversationRecord;
use types::secrets::SecretSource;
use types::{ConversationId, TenantId};
use vault::Vault;

use crate::shelf::SealedWith;

/// Seals and opens what one conversation's record holds.
pub struct Sealer<'a> {
    vault: &'a Vault,
    context: String,
}

impl<'a> Sealer<'a> {
    #[must_use]
    pub fn new(vault: &'a Vault, id: ConversationId) -> Self {
        Self { vault, context: format!("conversations/{}", id.hex()) }
    }

    pub fn seal_object(&self, object: &mut Value) {
        map_secrets(object, &mut |plain| self.seal(plain).into());
    }

    pub fn seal_sources(&self, sources: &mut BTreeMap<String, SecretSource>) {
        map_sources(sources, &mut |plain| Some(self.seal(plain)));
    }

    /// A secret that does not open is left out; false if there is one.
    pub fn open_object(&self, object: &mut Value) -> bool {
        let mut complete = true;
        map_secrets(object, &mut |sealed| {
            let plain = self.open(sealed);
            complete &= plain.is_some();
            plain.map_or(Value::Null, Value::from)
        });
        complete
    }

    /// A secret that does not open is left out; false if there is one.
    pub fn open_sources(&self, sources: &mut BTreeMap<String, SecretSource>) -> bool {
        let mut complete = true;
        map_sources(sources, &mut |sealed| {
            let plain = self.open(sealed);
            complete &= plain.is_some();
            plain
        });
        complete
    }

    /// Which keys open what a record holds.
    pub(crate) fn count(&self, mut record: ConversationRecord, with: &mut SealedWith) {
        let mut count = |sealed: &str| with.count(self.vault, sealed, &self.context);
        let mut count_in = |object: &mut Value| {
            map_secrets(object, &mut |sealed| {
                count(sealed);
                Value::Null
            });
        };
        count_in(&mut record.agent);
        record.titling.llm.iter_mut().for_each(count_in);
        map_sources(&mut record.secrets, &mut |sealed| {
            count(sealed);
            None
        });
    }

    pub(super) fn seal(&self, plain: &str) -> String {
        self.vault.seal(plain, &self.context)
    }

    pub(super) fn open(&self, sealed: &str) -> Option<String> {
        match self.vault.open(sealed, &self.context) {
            Ok(plain) => Some(plain.expose_secret().to_owned()),
            Err(error) => {
                tracing::warn!(context = self.context, %error, "a stored secret cannot be used");
                None
            }
        }
    }
}

/// Tokens that clients of `tenant` were given come back in place of the secrets they stand for.
///
/// # Errors
/// One of them does not open.
pub fn open_returned(vault: &Vault, tenant: &TenantId, object: &mut Value) -> Result<(), vault::Error> {
    let mut outcome = Ok(());
    map_secrets(object, &mut |text| match open_if_token(vault, tenant, text) {
        Ok(plain) => plain.into(),
        Err(error) => {
            outcome = Err(error);
            Value::Null
        }
    });
    outcome
}

/// As [`open_returned`], for named secrets.
///
/// # Errors
/// One of them does not open.
pub fn open_returned_sources(
    vault: &Vault,
    tenant: &TenantId,
    sources: &mut BTreeMap<String, SecretSource>,
) -> Result<(), vault::Error> {
    let mut outcome = Ok(());
    map_sources(sources, &mut |text| match open_if_token(vault, tenant, text) {
        Ok(plain) => Some(plain),
        Err(error) => {
            outcome = Err(error);
            None
        }
    });
    outcome
}

fn open_if_token(vault: &Vault, tenant: &TenantId, text: &str) -> Result<String, vault::Error> {
    if !Vault::is_token(text) {
        return Ok(text.to_owned());
    }
    vault.open_token(text, tenant.as_str()).map(|plain| plain.expose_secret().to_owned())
}

fn map_sources(sources: &mut BTreeMap<String, SecretSource>, change: &mut dyn FnMut(&str) -> Option<String>) {
    for source in sources.values_mut() {
        match source {
            SecretSource::StaticSecret { value, .. } => *value = value.as_deref().and_then(&mut *change),
            SecretSource::LookupSecret { headers, .. } => {
                for value in headers.values_mut() {
                    *value = change(value).unwrap_or_default();
                }
            }
        }
    }
}
