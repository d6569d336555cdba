//! What a part may do stands in its token, and what workers may do in that of the account: a newer release gives all of
//! them its own rights, under the keys that they have.

use std::path::{Path, PathBuf};

use types::placement::Credentials;

use crate::folder::{credentials_path, operator_path, server_config_path};
use crate::revoke::write_server_config;
use crate::server::account_token;
use crate::{Keys, Result, Revoked, Role, claims, files};

/// Renews what has the rights of another release below `dir`, and answers what was written: nothing without the operator's
/// keys, nor by an older copy of them, which does not know all that was taken back.
pub fn renew(dir: &Path) -> Result<Vec<PathBuf>> {
    let operator = operator_path(dir);
    if !Keys::are_in(&operator) {
        return Ok(Vec::new());
    }
    let (keys, mut revoked) = (Keys::load(&operator)?, Revoked::load(&operator)?);
    let mut renewed = Vec::new();
    for role in [Role::Gateway, Role::Supervisor] {
        let path = credentials_path(dir, role);
        let (known, current) = (files::load::<Credentials>(&path)?, keys.control_credentials(role)?);
        if known != current && known.seed == current.seed {
            files::replace(&path, &current)?;
            renewed.push(path);
        }
    }
    let config = files::text(&server_config_path(dir))?;
    if account_token(&config, &keys).is_some_and(|known| is_outdated(known, &keys, &revoked)) {
        // Servers take a newer token alone.
        revoked.advance(&keys);
        revoked.store(&operator)?;
        renewed.extend(write_server_config(dir, &keys, &revoked)?);
    }
    Ok(renewed)
}

fn is_outdated(known: &str, keys: &Keys, revoked: &Revoked) -> bool {
    let Ok(current) = keys.account_token(revoked) else { return false };
    let issued_at = |token: &str| claims::about(token).map(|about| about.iat);
    known != current && issued_at(known) <= issued_at(&current)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::claims::Claims;
    use crate::folder::{State, make};
    use crate::{Part, Who, revoke};

    const ACCOUNTS: &str = "/data/accounts";

    fn states(dir: &Path) -> Vec<State> {
        make(dir, Path::new(ACCOUNTS)).unwrap().iter().map(|piece| piece.state).collect()
    }

    /// As a release with other rights has left it.
    fn give_other_rights(dir: &Path) {
        let keys = Keys::load(&operator_path(dir)).unwrap();
        for role in [Role::Gateway, Role::Supervisor] {
            let path = credentials_path(dir, role);
            let known: Credentials = files::load(&path).unwrap();
            let key = nkeys::KeyPair::from_seed(&known.seed).unwrap();
            let jwt = Claims::new(&key, role.name(), keys.made_at, json!({ "type": "user", "version": 2 }));
            files::replace(&path, &Credentials { jwt: jwt.sign(&keys.account).unwrap(), ..known }).unwrap();
        }
        let path = server_config_path(dir);
        let config = files::text(&path).unwrap();
        let known = account_token(&config, &keys).unwrap();
        let issued_at = claims::about(known).unwrap().iat;
        let other =
            Claims::new(&keys.account, "MANYHANDS", issued_at, json!({ "type": "account", "version": 2 }));
        files::replace_text(&path, config.replace(known, &other.sign(&keys.operator).unwrap()).as_bytes())
            .unwrap();
    }

    #[test]
    fn parts_get_the_rights_of_this_release_and_keep_their_keys() {
        let folder = tempfile::tempdir().unwrap();
        make(folder.path(), Path::new(ACCOUNTS)).unwrap();
        let credentials = || {
            [Role::Gateway, Role::Supervisor]
                .map(|role| files::load::<Credentials>(&credentials_path(folder.path(), role)).unwrap())
        };
        let before = credentials();
        give_other_rights(folder.path());
        assert!(credentials() != before);
        let renewed = [State::Renewed, State::Renewed, State::Renewed, State::Kept];
        assert_eq!(states(folder.path()), renewed);
        assert!(credentials() == before);
        let keys = Keys::load(&operator_path(folder.path())).unwrap();
        let config = files::text(&server_config_path(folder.path())).unwrap();
        let account = claims::about(account_token(&config, &keys).unwrap()).unwrap();
        assert!(account.iat > keys.made_at, "servers would keep the one that they have");
        assert_eq!(states(folder.path()), [State::Kept; 4]);
    }

    #[test]
    fn an_older_copy_of_the_operators_keys_brings_nothing_back_that_was_revoked() {
        let folder = tempfile::tempdir().unwrap();
        make(folder.path(), Path::new(ACCOUNTS)).unwrap();
        let operator = operator_path(folder.path()).join("keys.json");
        let older = std::fs::read(&operator).unwrap();
        revoke(folder.path(), &[Who::Part(Part::Gateway), Who::Part(Part::Supervisor)]).unwrap();
        let files = [
            server_config_path(folder.path()),
            credentials_path(folder.path(), Role::Gateway),
            credentials_path(folder.path(), Role::Supervisor),
        ];
        let contents = || files.each_ref().map(|file| std::fs::read(file).unwrap());
        std::fs::write(&operator, older).unwrap();
        std::fs::remove_file(operator_path(folder.path()).join("revoked.json")).unwrap();
        let before = contents();
        assert_eq!(states(folder.path()), [State::Kept; 4]);
        assert_eq!(contents(), before);
    }
}
