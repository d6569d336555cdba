//! Lets workers in.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use nkeys::{KeyPair, KeyPairType};
use serde::{Deserialize, Serialize};
use serde_json::json;
use types::placement::Credentials;
use types::{Epoch, SandboxId, subjects};

use crate::claims::Claims;
use crate::keys::now;
use crate::{Error, Result, files};

/// Lets workers in. Its key is scoped: whatever it signs has the permissions of a worker of the sandbox it
/// names, as they stand in the account.
pub struct Minter {
    account: String,
    key: KeyPair,
}

#[derive(Serialize, Deserialize)]
struct MinterFile {
    account: String,
    seed: String,
}

impl Minter {
    pub(crate) fn new(account: String, seed: &str) -> Result<Self> {
        let key = KeyPair::from_seed(seed)?;
        Ok(Self { account, key })
    }

    /// # Errors
    /// The file cannot be read, or holds something else.
    pub fn load(path: &Path) -> Result<Self> {
        let stored: MinterFile = files::load(path)?;
        let minter = Self::new(stored.account, &stored.seed).map_err(|_| Error::Damaged(path.to_owned()))?;
        let is_account = minter.key.key_pair_type() == KeyPairType::Account;
        if is_account { Ok(minter) } else { Err(Error::Damaged(path.to_owned())) }
    }

    /// Writes it to a new file.
    ///
    /// # Errors
    /// There is such a file, which stays; or it cannot be written.
    pub fn store(&self, path: &Path) -> Result<()> {
        files::store(path, &self.stored()?)
    }

    /// The same in place of what the file holds.
    pub(crate) fn replace(&self, path: &Path) -> Result<()> {
        files::replace(path, &self.stored()?)
    }

    /// The account that workers are let into.
    pub(crate) fn account(&self) -> &str {
        &self.account
    }

    fn stored(&self) -> Result<MinterFile> {
        Ok(MinterFile { account: self.account.clone(), seed: self.key.seed()? })
    }

    /// Signs one incarnation of a worker in, with a key of its own. The server closes its connections when
    /// `lifetime` is over.
    ///
    /// # Errors
    /// When a key cannot sign.
    pub fn mint_worker(&self, sandbox: &SandboxId, epoch: Epoch, lifetime: Duration) -> Result<Credentials> {
        let user = KeyPair::new_user();
        let body = json!({
            "issuer_account": self.account,
            "tags": [format!("sandbox:{sandbox}"), format!("epoch:{}", epoch.0)],
            "type": "user",
            "version": 2,
        });
        let issued_at = now();
        let mut claims = Claims::new(&user, format!("worker {sandbox} {}", epoch.0), issued_at, body);
        claims.exp = Some(issued_at + lifetime.as_secs());
        let jwt = claims.sign(&self.key)?;
        Ok(Credentials { jwt, seed: user.seed()?, inbox_prefix: subjects::inbox(sandbox, epoch) })
    }
}

impl fmt::Debug for Minter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Minter").field("account", &self.account).finish_non_exhaustive()
    }
}
