//! The keys that a cluster is made of.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use nkeys::{KeyPair, KeyPairType};
use serde::{Deserialize, Serialize};
use serde_json::json;
use types::placement::Credentials;
use types::subjects;

use crate::claims::Claims;
use crate::permissions::{Permissions, Role, SYSTEM};
use crate::{Error, Minter, Part, Result, Revoked, files};

const FILE: &str = "keys.json";

/// The account that everything of a cluster lives in.
const ACCOUNT: &str = "MANYHANDS";

/// Who a cluster is. Whoever has them can let anybody in: they belong on no machine of the cluster.
///
/// All tokens are made from them: made twice, they are the same.
#[derive(Clone, Debug)]
pub struct Keys {
    pub(crate) operator: KeyPair,
    pub(crate) system: KeyPair,
    pub(crate) account: KeyPair,
    /// Signs workers and nothing else.
    pub(crate) workers: KeyPair,
    gateway: KeyPair,
    supervisor: KeyPair,
    /// Unix seconds.
    pub(crate) made_at: u64,
}

#[derive(Serialize, Deserialize)]
struct KeysFile {
    operator: String,
    system: String,
    account: String,
    workers: String,
    gateway: String,
    supervisor: String,
    made_at: u64,
}

impl Keys {
    #[must_use]
    pub fn make() -> Self {
        Self {
            operator: KeyPair::new_operator(),
            system: KeyPair::new_account(),
            account: KeyPair::new_account(),
            workers: KeyPair::new_account(),
            gateway: KeyPair::new_user(),
            supervisor: KeyPair::new_user(),
            made_at: now(),
        }
    }

    #[must_use]
    pub fn are_in(dir: &Path) -> bool {
        dir.join(FILE).exists()
    }

    /// # Errors
    /// The file of the folder `dir` cannot be read, or holds no keys.
    pub fn load(dir: &Path) -> Result<Self> {
        let path = dir.join(FILE);
        let stored: KeysFile = files::load(&path)?;
        let key = |seed: &str, kind: KeyPairType| {
            let key = KeyPair::from_seed(seed).map_err(|_| Error::Damaged(path.clone()))?;
            if key.key_pair_type() == kind { Ok(key) } else { Err(Error::Damaged(path.clone())) }
        };
        Ok(Self {
            operator: key(&stored.operator, KeyPairType::Operator)?,
            system: key(&stored.system, KeyPairType::Account)?,
            account: key(&stored.account, KeyPairType::Account)?,
            workers: key(&stored.workers, KeyPairType::Account)?,
            gateway: key(&stored.gateway, KeyPairType::User)?,
            supervisor: key(&stored.supervisor, KeyPairType::User)?,
            made_at: stored.made_at,
        })
    }

    /// Writes them into the folder `dir`, for this user's eyes only.
    ///
    /// # Errors
    /// The folder holds keys already, which stay; or it cannot be written.
    pub fn store(&self, dir: &Path) -> Result<()> {
        files::store(&dir.join(FILE), &self.stored()?)
    }

    /// The same in place of those that the folder holds.
    ///
    /// # Errors
    /// It cannot be written; what it held is still there.
    pub(crate) fn replace(&self, dir: &Path) -> Result<()> {
        files::replace(&dir.join(FILE), &self.stored()?)
    }

    fn stored(&self) -> Result<KeysFile> {
        Ok(KeysFile {
            operator: self.operator.seed()?,
            system: self.system.seed()?,
            account: self.account.seed()?,
            workers: self.workers.seed()?,
            gateway: self.gateway.seed()?,
            supervisor: self.supervisor.seed()?,
            made_at: self.made_at,
        })
    }

    /// The public key that a part has now.
    pub(crate) fn public_key(&self, part: Part) -> String {
        match part {
            Part::Gateway => self.gateway.public_key(),
            Part::Supervisor => self.supervisor.public_key(),
            Part::Workers => self.workers.public_key(),
        }
    }

    /// Gives a part a new key.
    pub(crate) fn renew(&mut self, part: Part) {
        match part {
            Part::Gateway => self.gateway = KeyPair::new_user(),
            Part::Supervisor => self.supervisor = KeyPair::new_user(),
            Part::Workers => self.workers = KeyPair::new_account(),
        }
    }

    /// What a trusted part signs in with, without end.
    ///
    /// # Errors
    /// When a key cannot sign.
    pub fn control_credentials(&self, role: Role) -> Result<Credentials> {
        let key = match role {
            Role::Gateway => &self.gateway,
            Role::Supervisor => &self.supervisor,
        };
        let token = user(key, role.name(), self.made_at, &role.permissions()).sign(&self.account)?;
        Ok(Credentials { jwt: token, seed: key.seed()?, inbox_prefix: role.inbox_prefix() })
    }

    /// What an operator's tool signs in with to tell servers of a changed account.
    ///
    /// # Errors
    /// When a key cannot sign.
    pub fn system_credentials(&self) -> Result<Credentials> {
        let key = KeyPair::new_user();
        let token = user(&key, SYSTEM, now(), &Permissions::of_system()).sign(&self.system)?;
        Ok(Credentials { jwt: token, seed: key.seed()?, inbox_prefix: subjects::inbox_of_part(SYSTEM) })
    }

    /// What the supervisor is given to sign workers in.
    ///
    /// # Errors
    /// When a key has no seed.
    pub fn minter(&self) -> Result<Minter> {
        Minter::new(self.account.public_key(), &self.workers.seed()?)
    }

    /// The account as servers are to hold it, with the users that were taken back. Of two tokens they keep the
    /// newer one, so `revoked` names all that are to stay out.
    ///
    /// # Errors
    /// When a key cannot sign.
    pub fn account_token(&self, revoked: &Revoked) -> Result<String> {
        let body = json!({
            "limits": {
                "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true,
                "conn": -1, "leaf": 0, "mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1,
            },
            "signing_keys": [{
                "kind": "user_scope",
                "key": self.workers.public_key(),
                "role": "worker",
                "template": Permissions::of_workers(),
            }],
            "revocations": revoked.users,
            "type": "account",
            "version": 2,
        });
        let issued_at = revoked.as_of.max(self.made_at);
        Claims::new(&self.account, ACCOUNT, issued_at, body).sign(&self.operator)
    }
}

fn user(key: &KeyPair, name: &str, issued_at: u64, permissions: &Permissions) -> Claims<impl Serialize> {
    #[derive(Serialize)]
    struct User<'a> {
        #[serde(flatten)]
        permissions: &'a Permissions,
        r#type: &'static str,
        version: u8,
    }
    Claims::new(key, name, issued_at, User { permissions, r#type: "user", version: 2 })
}

/// Unix seconds.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn keys_are_made_once_and_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keys::make();
        keys.store(folder.path()).unwrap();
        assert!(Keys::make().store(folder.path()).is_err());
        let kept = Keys::load(folder.path()).unwrap();
        let credentials = |keys: &Keys| keys.control_credentials(Role::Gateway).unwrap();
        assert!(credentials(&kept) == credentials(&keys));
        assert_eq!(
            crate::server_config(&kept, &Revoked::default(), Path::new("/a")).unwrap(),
            crate::server_config(&keys, &Revoked::default(), Path::new("/a")).unwrap()
        );
        let mode = std::fs::metadata(folder.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn no_key_is_shown_by_debug() {
        let keys = Keys::make();
        let shown = format!("{keys:?} {:?}", keys.minter().unwrap());
        for key in [&keys.operator, &keys.system, &keys.account, &keys.workers, &keys.gateway] {
            assert!(!shown.contains(&key.seed().unwrap()));
        }
    }

    #[test]
    fn a_key_of_another_kind_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        Keys::make().store(folder.path()).unwrap();
        let path = folder.path().join(FILE);
        let text = std::fs::read_to_string(&path).unwrap().replace("\"system\":", "\"other\":");
        std::fs::write(&path, text.replace("\"operator\":", "\"system\":").replace("other", "operator"))
            .unwrap();
        assert!(matches!(Keys::load(folder.path()), Err(Error::Damaged(_))));
    }
}
