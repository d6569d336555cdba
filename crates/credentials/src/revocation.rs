//! What was taken back before it ended, and how servers are told.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use serde::{Deserialize, Serialize};
use types::placement::Credentials;

use crate::keys::now;
use crate::{Error, Keys, Result, claims, files};

/// Where [`Keys::account_token`] is sent, as a request of [`Keys::system_credentials`]. The servers keep it, and
/// close the connections of those it does not let in.
pub const UPDATE_SUBJECT: &str = "$SYS.REQ.CLAIMS.UPDATE";

/// Beside the keys.
const FILE: &str = "revoked.json";

/// The holders of keys that can be given new ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    Gateway,
    Supervisor,
    /// The supervisor's key that signs workers: with it go all workers it has signed.
    Workers,
}

/// Credentials that got into wrong hands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaked {
    pub user: String,
    /// Unix seconds.
    pub issued_at: u64,
}

/// All that was taken back so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoked {
    /// Of the account's newest token, in Unix seconds; 0: nothing was ever taken back.
    pub(crate) as_of: u64,
    /// Users, and the Unix second up to which: what they were given later is good.
    pub(crate) users: BTreeMap<String, u64>,
    /// Parts that get new keys while no server is known to have heard of it, and the keys they had before.
    unsent: BTreeMap<Part, String>,
}

impl Revoked {
    /// What the folder `dir` of the operator's keys says; nothing if it says nothing.
    ///
    /// # Errors
    /// The file cannot be read, or holds something else.
    pub fn load(dir: &Path) -> Result<Self> {
        match files::load(&dir.join(FILE)) {
            Err(Error::File { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(Self::default()),
            loaded => loaded,
        }
    }

    /// # Errors
    /// The file cannot be written; it then says what it said before.
    pub(crate) fn store(&self, dir: &Path) -> Result<()> {
        files::replace(&dir.join(FILE), self)
    }

    /// Takes back what a user was given until now; nothing changes if that is so already.
    pub fn insert(&mut self, leaked: &Leaked, keys: &Keys) {
        if self.users.get(&leaked.user).is_none_or(|until| *until < leaked.issued_at) {
            let now = self.advance(keys);
            self.users.insert(leaked.user.clone(), now.max(leaked.issued_at));
        }
    }

    /// Takes a part's key back, unless that was begun already and no server has heard of it.
    pub(crate) fn begin(&mut self, part: Part, keys: &Keys) {
        if self.unsent.contains_key(&part) {
            return;
        }
        let (key, now) = (keys.public_key(part), self.advance(keys));
        match part {
            Part::Gateway | Part::Supervisor => drop(self.users.insert(key.clone(), now)),
            // Not a user: the account stops to name it.
            Part::Workers => {}
        }
        self.unsent.insert(part, key);
    }

    /// The parts whose key is taken back and that have no other yet.
    pub(crate) fn without_key(&self, keys: &Keys) -> Vec<Part> {
        let unsent = self.unsent.iter();
        unsent.filter(|(part, old)| keys.public_key(**part) == **old).map(|(part, _)| *part).collect()
    }

    /// The parts whose new keys no server is known to have heard of.
    pub(crate) fn unsent(&self) -> Vec<Part> {
        self.unsent.keys().copied().collect()
    }

    pub(crate) fn sent(&mut self) {
        self.unsent.clear();
    }

    /// Until when what was given out goes: also where the clock is behind the one that the keys were made by. Servers keep
    /// the newer of two tokens: no two are of the same second.
    pub(crate) fn advance(&mut self, keys: &Keys) -> u64 {
        let until = now().max(keys.made_at);
        self.as_of = until.max(self.as_of.max(keys.made_at) + 1);
        until
    }
}

impl Leaked {
    /// # Errors
    /// `NotAUser`, or `Foreign` where `keys` did not make it.
    pub fn from_token(token: &str, keys: &Keys) -> Result<Self> {
        let about = claims::about(token.trim()).filter(|about| about.nats.r#type == "user");
        let about = about.ok_or(Error::NotAUser)?;
        let account = about.nats.issuer_account.unwrap_or(about.iss);
        match account == keys.account.public_key() {
            true => Ok(Self { user: about.sub, issued_at: about.iat }),
            false => Err(Error::Foreign),
        }
    }

    /// From a file of [`Credentials`], or one of their token alone.
    ///
    /// # Errors
    /// The file cannot be read; those of [`Leaked::from_token`].
    pub fn load(path: &Path, keys: &Keys) -> Result<Self> {
        match files::load::<Credentials>(path) {
            Ok(credentials) => Self::from_token(&credentials.jwt, keys),
            Err(Error::Damaged(_)) => Self::from_token(&files::text(path)?, keys),
            Err(error) => Err(error),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_taken_back_also_where_the_clock_is_behind_the_one_its_keys_were_made_by() {
        let mut keys = Keys::make();
        keys.made_at = now() + 3_600;
        for part in [Part::Gateway, Part::Supervisor] {
            let mut revoked = Revoked::default();
            revoked.begin(part, &keys);
            assert_eq!(revoked.users.get(&keys.public_key(part)), Some(&keys.made_at));
            assert!(revoked.as_of > keys.made_at);
        }
    }
}
