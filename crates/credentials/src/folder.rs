//! The folder `manyhands init` makes: one folder below it for each part, with what that part may know.

use std::path::{Path, PathBuf};

use types::placement::Credentials;

use crate::server::names_account;
use crate::{Error, Keys, Minter, Result, Revoked, Role, files, rights, server_config};

/// Of the operator alone: [`Keys`].
const OPERATOR: &str = "operator";
/// Of the server: what nats.conf includes. Holds no secret.
const SERVER_CONFIG: &str = "nats/auth.conf";
/// Of each trusted part, in its folder.
const CREDENTIALS: &str = "credentials.json";
/// Of the supervisor.
const MINTER: &str = "supervisor/minter.json";

/// A file of the folder, and what has become of it.
#[derive(Debug, PartialEq, Eq)]
pub struct Piece {
    pub path: PathBuf,
    pub state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Made,
    Kept,
    /// It has the same keys, and the rights of this release.
    Renewed,
}

/// The credentials of a trusted part: a [`types::placement::Credentials`].
#[must_use]
pub fn credentials_path(dir: &Path, role: Role) -> PathBuf {
    dir.join(role.name()).join(CREDENTIALS)
}

/// The supervisor's [`crate::Minter`].
#[must_use]
pub fn minter_path(dir: &Path) -> PathBuf {
    dir.join(MINTER)
}

/// The folder of the operator's [`Keys`].
#[must_use]
pub fn operator_path(dir: &Path) -> PathBuf {
    dir.join(OPERATOR)
}

pub(crate) fn server_config_path(dir: &Path) -> PathBuf {
    dir.join(SERVER_CONFIG)
}

/// Makes what is missing below `dir`, without what was taken back. What is there stays, but that with the operator's keys
/// it gets the rights of this release. Once all is there the operator's folder may be taken elsewhere. `accounts_dir` as for
/// [`server_config`].
///
/// # Errors
/// Something is missing that only the operator's keys can make again, and those are not there; `Damaged` for what is
/// there and not what it should be; or any of reading and writing.
pub fn make(dir: &Path, accounts_dir: &Path) -> Result<Vec<Piece>> {
    let mut pieces = make_missing(dir, accounts_dir)?;
    check(dir)?;
    let renewed = rights::renew(dir)?;
    for piece in pieces.iter_mut().filter(|piece| renewed.contains(&piece.path)) {
        piece.state = State::Renewed;
    }
    Ok(pieces)
}

/// A server whose configuration was cut off or emptied names no operator, and lets everybody in.
fn check(dir: &Path) -> Result<()> {
    for role in [Role::Gateway, Role::Supervisor] {
        files::load::<Credentials>(&credentials_path(dir, role))?;
    }
    let (minter, config) = (Minter::load(&minter_path(dir))?, server_config_path(dir));
    match names_account(&files::text(&config)?, minter.account()) {
        true => Ok(()),
        false => Err(Error::Damaged(config)),
    }
}

fn make_missing(dir: &Path, accounts_dir: &Path) -> Result<Vec<Piece>> {
    let (operator, config) = (operator_path(dir), server_config_path(dir));
    let gateway = credentials_path(dir, Role::Gateway);
    let supervisor = credentials_path(dir, Role::Supervisor);
    let minter = minter_path(dir);
    let derived = [&config, &gateway, &supervisor, &minter];
    if derived.iter().all(|path| path.exists()) {
        return Ok(derived.map(|path| Piece { path: path.clone(), state: State::Kept }).into());
    }
    // The folder alone may be there: a volume that is still empty.
    let there = Keys::are_in(&operator);
    if !there {
        if let Some(orphan) = derived.into_iter().find(|path| path.exists()) {
            return Err(Error::NoKeys { operator, orphan: orphan.clone() });
        }
        Keys::make().store(&operator)?;
    }
    let (keys, revoked) = (Keys::load(&operator)?, Revoked::load(&operator)?);
    Ok(vec![
        Piece { path: operator, state: State::of(there) },
        unless_there(config, |path| {
            files::store_public(path, &server_config(&keys, &revoked, accounts_dir)?)
        })?,
        unless_there(gateway, |path| files::store(path, &keys.control_credentials(Role::Gateway)?))?,
        unless_there(supervisor, |path| files::store(path, &keys.control_credentials(Role::Supervisor)?))?,
        unless_there(minter, |path| keys.minter()?.store(path))?,
    ])
}

fn unless_there(path: PathBuf, make: impl FnOnce(&Path) -> Result<()>) -> Result<Piece> {
    let there = path.exists();
    if !there {
        make(&path)?;
    }
    Ok(Piece { path, state: State::of(there) })
}

impl State {
    fn of(there: bool) -> Self {
        if there { Self::Kept } else { Self::Made }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn contents(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
        let folders = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        let files = folders.flat_map(|folder| std::fs::read_dir(folder).unwrap());
        files
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.clone(), std::fs::read(path).unwrap()))
            .collect()
    }

    #[test]
    fn a_second_time_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let made = make(folder.path(), Path::new("/data/accounts")).unwrap();
        assert!(made.iter().all(|piece| piece.state == State::Made));
        let before = contents(folder.path());
        assert_eq!(before.len(), 5);
        assert!(
            make(folder.path(), Path::new("/elsewhere"))
                .unwrap()
                .iter()
                .all(|piece| piece.state == State::Kept)
        );
        assert_eq!(contents(folder.path()), before);
        files::load::<Credentials>(&credentials_path(folder.path(), Role::Gateway)).unwrap();
        Minter::load(&minter_path(folder.path())).unwrap();
    }

    #[test]
    fn a_piece_that_was_cut_off_is_never_taken_for_a_kept_one() {
        for (piece, kept) in [(SERVER_CONFIG, 0), (SERVER_CONFIG, 100), ("gateway/credentials.json", 0)] {
            let folder = tempfile::tempdir().unwrap();
            make(folder.path(), Path::new("/data/accounts")).unwrap();
            let path = folder.path().join(piece);
            let whole = std::fs::read(&path).unwrap();
            std::fs::write(&path, &whole[..kept]).unwrap();
            let refused = make(folder.path(), Path::new("/data/accounts"));
            assert!(matches!(&refused, Err(Error::Damaged(damaged)) if *damaged == path), "{refused:?}");
            std::fs::remove_file(&path).unwrap();
            make(folder.path(), Path::new("/data/accounts")).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), whole);
        }
    }

    #[test]
    fn empty_folders_are_filled() {
        let folder = tempfile::tempdir().unwrap();
        for part in [OPERATOR, "nats", "gateway", "supervisor"] {
            std::fs::create_dir(folder.path().join(part)).unwrap();
        }
        assert!(
            make(folder.path(), Path::new("/data/accounts"))
                .unwrap()
                .iter()
                .all(|piece| piece.state == State::Made)
        );
        assert_eq!(contents(folder.path()).len(), 5);
    }

    #[test]
    fn a_lost_piece_comes_back_the_same_and_not_without_the_keys() {
        let folder = tempfile::tempdir().unwrap();
        make(folder.path(), Path::new("/data/accounts")).unwrap();
        let before = contents(folder.path());
        let lost = credentials_path(folder.path(), Role::Gateway);
        std::fs::remove_file(&lost).unwrap();
        make(folder.path(), Path::new("/data/accounts")).unwrap();
        assert_eq!(contents(folder.path()), before);

        let safe = tempfile::tempdir().unwrap();
        std::fs::rename(folder.path().join(OPERATOR), safe.path().join(OPERATOR)).unwrap();
        make(folder.path(), Path::new("/data/accounts")).unwrap();
        std::fs::remove_file(&lost).unwrap();
        assert!(matches!(make(folder.path(), Path::new("/data/accounts")), Err(Error::NoKeys { .. })));
        assert!(!folder.path().join(OPERATOR).exists());
    }

    #[test]
    fn no_part_is_given_a_key_of_another() {
        let folder = tempfile::tempdir().unwrap();
        make(folder.path(), Path::new("/data/accounts")).unwrap();
        let seeds = |path: &Path| {
            let text = String::from_utf8(std::fs::read(path).unwrap()).unwrap();
            let mut seeds: Vec<String> =
                text.split('"').filter(|word| word.starts_with('S')).map(str::to_owned).collect();
            seeds.retain(|word| nkeys::KeyPair::from_seed(word).is_ok());
            seeds
        };
        let counts: BTreeMap<PathBuf, usize> = contents(folder.path())
            .into_keys()
            .map(|path| (path.strip_prefix(folder.path()).unwrap().to_owned(), seeds(&path).len()))
            .collect();
        let expected = [
            ("gateway/credentials.json", 1),
            ("nats/auth.conf", 0),
            ("operator/keys.json", 6),
            ("supervisor/credentials.json", 1),
            ("supervisor/minter.json", 1),
        ];
        assert_eq!(counts, expected.map(|(path, count)| (PathBuf::from(path), count)).into());
        for path in contents(folder.path()).into_keys().filter(|path| !path.ends_with(SERVER_CONFIG)) {
            assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        let config = std::fs::metadata(folder.path().join(SERVER_CONFIG)).unwrap();
        assert_eq!(config.permissions().mode() & 0o044, 0o044, "the server runs as another user");
    }
}
