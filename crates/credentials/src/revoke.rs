//! Takes keys and credentials back in the folder that `init` made. What is done is written before anything
//! relies on it, so a revocation that was cut off anywhere is completed by asking for it again.

use std::path::{Path, PathBuf};

use crate::folder::{credentials_path, minter_path, operator_path, server_config_path};
use crate::server::with_account;
use crate::{Error, Keys, Leaked, Part, Result, Revoked, Role, files};

/// What is taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// A part's key; the part gets another.
    Part(Part),
    /// A file with credentials that leaked, or with their token alone.
    Credentials(PathBuf),
}

/// What was changed, and what servers must still be told.
#[derive(Debug)]
pub struct Revocation {
    /// For [`crate::UPDATE_SUBJECT`].
    pub token: String,
    /// The parts that have new keys, of this time or of one that was cut off.
    pub renewed: Vec<Part>,
    /// What was written for them, and for the server.
    pub files: Vec<PathBuf>,
    operator: PathBuf,
    revoked: Revoked,
}

/// Takes back below `dir` what `who` names. The credentials of a part that are found in a file count as that
/// part's key. Until [`Revocation::sent`] the same again makes no more new keys.
///
/// # Errors
/// `NoOperator`; `NotAUser`, `Foreign` or `File` for credentials; any of reading and writing.
pub fn revoke(dir: &Path, who: &[Who]) -> Result<Revocation> {
    let operator = operator_path(dir);
    if !Keys::are_in(&operator) {
        return Err(Error::NoOperator(operator));
    }
    let (mut keys, mut revoked) = (Keys::load(&operator)?, Revoked::load(&operator)?);
    let known = revoked.clone();
    for taken in who {
        match taken {
            Who::Part(part) => revoked.begin(*part, &keys),
            Who::Credentials(file) => {
                let leaked = Leaked::load(file, &keys)?;
                match [Part::Gateway, Part::Supervisor]
                    .into_iter()
                    .find(|part| keys.public_key(*part) == leaked.user)
                {
                    Some(part) => revoked.begin(part, &keys),
                    None => revoked.insert(&leaked, &keys),
                }
            }
        }
    }
    if revoked != known {
        revoked.store(&operator)?;
    }
    let without = revoked.without_key(&keys);
    if !without.is_empty() {
        without.into_iter().for_each(|part| keys.renew(part));
        keys.replace(&operator)?;
    }
    let renewed = revoked.unsent();
    let mut files = Vec::new();
    for part in &renewed {
        files.push(write_part(dir, *part, &keys)?);
    }
    files.extend(write_server_config(dir, &keys, &revoked)?);
    Ok(Revocation { token: keys.account_token(&revoked)?, renewed, files, operator, revoked })
}

impl Revocation {
    /// Servers have taken the token: to take the same parts back again is something new from now on.
    ///
    /// # Errors
    /// Any of writing.
    pub fn sent(mut self) -> Result<()> {
        if self.renewed.is_empty() {
            return Ok(());
        }
        self.revoked.sent();
        self.revoked.store(&self.operator)
    }
}

fn write_part(dir: &Path, part: Part, keys: &Keys) -> Result<PathBuf> {
    let control = |role: Role| {
        let path = credentials_path(dir, role);
        files::replace(&path, &keys.control_credentials(role)?).map(|()| path)
    };
    match part {
        Part::Gateway => control(Role::Gateway),
        Part::Supervisor => control(Role::Supervisor),
        Part::Workers => {
            let path = minter_path(dir);
            keys.minter()?.replace(&path).map(|()| path)
        }
    }
}

/// What a server starts with if it has lost its accounts. `init` makes the file where it is missing.
pub fn write_server_config(dir: &Path, keys: &Keys, revoked: &Revoked) -> Result<Option<PathBuf>> {
    let path = server_config_path(dir);
    if !path.exists() {
        return Ok(None);
    }
    let config = files::text(&path)?;
    let current = with_account(&config, keys, revoked)?.ok_or_else(|| Error::Damaged(path.clone()))?;
    if current != config {
        files::replace_text(&path, current.as_bytes())?;
    }
    Ok(Some(path))
}
