//! Taking credentials back before they expire.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use types::placement::Credentials;

use crate::keys::now;
use crate::{Error, Keys, Result, claims};

/// Where the token that [`Keys::revoke`] gives is sent, as a request of [`Keys::system_credentials`]. The
/// servers keep it, and close the connections of those it revokes.
pub const UPDATE_SUBJECT: &str = "$SYS.REQ.CLAIMS.UPDATE";

/// The users that were taken back, and the Unix second up to which: what they were given later is good.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revoked(BTreeMap<String, u64>);

impl Revoked {
    /// Takes back all that `user` was given until now.
    pub fn insert(&mut self, user: String) {
        self.0.insert(user, now());
    }
}

impl Keys {
    /// The account's new token. It replaces the last one, so `revoked` names all that are to stay out.
    ///
    /// # Errors
    /// When a key cannot sign.
    pub fn revoke(&self, revoked: &Revoked) -> Result<String> {
        // Servers keep the newer of two tokens, and the first one is offered to them at each start.
        self.account_token(now().max(self.made_at + 1), revoked)
    }
}

/// The public key that credentials are revoked by.
///
/// # Errors
/// `NotAUser`.
pub fn user_of(credentials: &Credentials) -> Result<String> {
    claims::subject(&credentials.jwt).ok_or(Error::NotAUser)
}

/// Whether a server took what was sent to [`UPDATE_SUBJECT`], by its answer.
///
/// # Errors
/// `Refused`.
pub fn accepted(answer: &[u8]) -> Result<()> {
    let answer: serde_json::Value = serde_json::from_slice(answer).unwrap_or_default();
    match answer.pointer("/data/code").and_then(serde_json::Value::as_u64) {
        Some(200) => Ok(()),
        _ => Err(Error::Refused(answer.get("error").unwrap_or(&answer).to_string())),
    }
}
