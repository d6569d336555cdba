//! A copy of a folder that strangers have filled: of its files and folders, within bounds.
//!
//! It is walked from open folder to open folder, and no link is followed on the way: what the folder becomes meanwhile leads
//! nowhere else. Links and special files are left out, and so is what git keeps for itself.

use std::ffi::OsString;
use std::fs::{DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, openat, statat};
use tools::open::{self, Opened, Symlink};

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// How much may be copied.
pub(super) struct Bounds {
    /// Files, and folders as well.
    pub(super) names: usize,
    pub(super) bytes: u64,
    pub(super) deepest: usize,
}

impl Bounds {
    /// Of what is installed.
    pub(super) const OF_AN_EXTENSION: Self = Self { names: 2_000, bytes: 64 << 20, deepest: 32 };
    pub(super) const OF_A_CATALOGUE: Self = Self { names: 50_000, bytes: 512 << 20, deepest: 32 };
}

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("it has more files, or deeper folders, than are taken")]
    TooMany,
    #[error("its files are larger than are taken")]
    TooLarge,
}

impl From<rustix::io::Errno> for Failure {
    fn from(error: rustix::io::Errno) -> Self {
        Self::Io(error.into())
    }
}

/// `to` must not be there.
///
/// # Errors
/// What cannot be read or written, or is beyond the bounds: then a part is there.
pub(super) fn copy(from: &Path, to: &Path, bounds: &Bounds) -> Result<(), Failure> {
    let root = openat(CWD, from, FOLDER | OFlags::NOFOLLOW, Mode::empty())?;
    let mut copying = Copying { to, bounds, names: 0, bytes: 0 };
    let mut levels = vec![copying.enter(root, PathBuf::new())?];
    while let Some(level) = levels.last_mut() {
        let Some(name) = level.names.pop() else {
            levels.pop();
            continue;
        };
        if let Some(deeper) = copying.add(level, &name)? {
            if levels.len() >= bounds.deepest {
                return Err(Failure::TooMany);
            }
            levels.push(deeper);
        }
    }
    Ok(())
}

struct Copying<'a> {
    to: &'a Path,
    bounds: &'a Bounds,
    names: usize,
    bytes: u64,
}

/// A folder on the way down.
struct Level {
    folder: OwnedFd,
    inside: PathBuf,
    /// Those still to come.
    names: Vec<OsString>,
}

impl Copying<'_> {
    fn add(&mut self, level: &Level, name: &OsString) -> Result<Option<Level>, Failure> {
        let inside = level.inside.join(name);
        let found = statat(&level.folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
        match FileType::from_raw_mode(found.st_mode) {
            FileType::Directory => {
                let folder = openat(&level.folder, name, FOLDER | OFlags::NOFOLLOW, Mode::empty())?;
                self.enter(folder, inside).map(Some)
            }
            FileType::RegularFile => {
                if let Opened::File(file) = open::at(&level.folder, Path::new(name), Symlink::Refuse)? {
                    self.file(file, &inside)?;
                }
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    fn enter(&mut self, folder: OwnedFd, inside: PathBuf) -> Result<Level, Failure> {
        DirBuilder::new().mode(0o755).create(self.to.join(&inside))?;
        let mut names = Vec::new();
        for entry in Dir::read_from(&folder)? {
            let name = entry?.file_name().to_bytes().to_vec();
            if [b".".as_slice(), b"..", b".git"].contains(&name.as_slice()) {
                continue;
            }
            names.push(OsString::from_vec(name));
            self.names += 1;
            if self.names > self.bounds.names {
                return Err(Failure::TooMany);
            }
        }
        Ok(Level { folder, inside, names })
    }

    fn file(&mut self, file: File, inside: &Path) -> Result<(), Failure> {
        let is_program = file.metadata()?.permissions().mode() & 0o100 != 0;
        let mut copy = open::fresh(&self.to.join(inside), if is_program { 0o755 } else { 0o644 })?;
        let left = self.bounds.bytes - self.bytes;
        let copied = io::copy(&mut file.take(left + 1), &mut copy)?;
        copy.flush()?;
        self.bytes += copied;
        if copied > left { Err(Failure::TooLarge) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_leads_out_of_a_folder_is_not_copied() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::create_dir_all(from.join("a/.git")).unwrap();
        fs::write(dir.path().join("secret"), "s").unwrap();
        fs::write(from.join("a/b"), "b").unwrap();
        symlink("../../secret", from.join("a/out")).unwrap();
        symlink("/", from.join("root")).unwrap();
        symlink("loop", from.join("loop")).unwrap();
        rustix::fs::mkfifoat(CWD, from.join("pipe"), Mode::RUSR).unwrap();
        copy(&from, &to, &Bounds::OF_AN_EXTENSION).unwrap();
        let names = |folder: &Path| {
            let mut names: Vec<_> =
                fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        };
        assert_eq!(
            (names(&to), names(&to.join("a"))),
            (vec![OsString::from("a")], vec![OsString::from("b")])
        );
        symlink(&from, dir.path().join("link")).unwrap();
        assert!(
            copy(&dir.path().join("link"), &dir.path().join("of-link"), &Bounds::OF_AN_EXTENSION).is_err()
        );
    }

    #[test]
    fn what_is_more_than_is_taken_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let from = dir.path().join("from");
        fs::create_dir_all(from.join("a/b/c")).unwrap();
        fs::write(from.join("large"), [0; 100]).unwrap();
        let attempt = |name: &str, bounds: Bounds| copy(&from, &dir.path().join(name), &bounds);
        let bounds = || Bounds { names: 4, bytes: 100, deepest: 4 };
        assert!(attempt("fits", bounds()).is_ok());
        assert!(matches!(attempt("many", Bounds { names: 3, ..bounds() }), Err(Failure::TooMany)));
        assert!(matches!(attempt("large", Bounds { bytes: 99, ..bounds() }), Err(Failure::TooLarge)));
        assert!(matches!(attempt("deep", Bounds { deepest: 3, ..bounds() }), Err(Failure::TooMany)));
    }
}
