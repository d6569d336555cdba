//! Folders in which the worker makes something for the agent's user.
//!
//! The worker may do more than that user, and much of where it makes something belongs to him: at any moment he can put a link
//! in the place of a folder, and what is made would lie where the link leads, and be his. So a folder is opened once, and what
//! is made in it is made by way of what was opened ([`Folder::path`]), whatever becomes of its name. And it has to be his, or
//! to be at the very path that was named, with no link on the way. Where commands run as the worker itself there is nobody
//! who could gain from a link, and all are followed.

use std::ffi::OsStr;
use std::fs::{File, read_link};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf, absolute};

use rustix::fs::{CWD, Mode, OFlags, fstat, mkdirat, openat};
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::{hands, open};

/// Enough to make something in it.
const FOLDER: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
/// Enough to give it away.
const OWN_FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// An open one. Closed when it is dropped.
pub struct Folder(OwnedFd);

impl Folder {
    /// Opens one that is there.
    ///
    /// # Errors
    /// Those of the operating system; no permission for one of somebody else that a link leads to.
    pub fn open(path: &Path) -> io::Result<Self> {
        let folder = Self(openat(CWD, path, FOLDER, Mode::empty())?);
        folder.checked(path)
    }

    /// The same, and it is the user's, however it was named.
    ///
    /// # Errors
    /// As [`Folder::open`].
    pub fn of_user(path: &Path) -> io::Result<Self> {
        let folder = Self(openat(CWD, path, FOLDER, Mode::empty())?);
        if folder.is_users()? { Ok(folder) } else { Err(Errno::ACCESS.into()) }
    }

    /// Opens it, and makes it and those above it that are missing, for the user.
    ///
    /// # Errors
    /// As [`Folder::open`]; without the right to give files away.
    pub fn make(path: &Path) -> io::Result<Self> {
        let (nearest, there) = nearest(path)?;
        let missing = path.strip_prefix(there).map_err(io::Error::other)?;
        let mut folder = nearest.checked(there)?;
        for name in missing {
            folder = folder.enter_or_make(name)?;
        }
        Ok(folder)
    }

    /// Opens one that is in it, and follows no link.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn enter(&self, name: &OsStr) -> io::Result<Self> {
        Ok(Self(openat(&self.0, name, FOLDER | OFlags::NOFOLLOW, Mode::empty())?))
    }

    /// A new folder in it, which is the worker's until it is [given](Folder::give).
    ///
    /// # Errors
    /// `AlreadyExists`; those of the operating system.
    pub fn fresh(&self, name: &OsStr) -> io::Result<Self> {
        mkdirat(&self.0, name, Mode::from_raw_mode(0o777))?;
        let made = Self(openat(&self.0, name, OWN_FOLDER, Mode::empty())?);
        // The user may have put another one in its place.
        let is_own = hands::user().is_none() || fstat(&made.0)?.st_uid == geteuid().as_raw();
        if is_own { Ok(made) } else { Err(Errno::ACCESS.into()) }
    }

    /// Gives it to the user.
    ///
    /// # Errors
    /// Without the right to give files away.
    pub fn give(&self) -> io::Result<()> {
        hands::give(&self.0)
    }

    /// Leads here, in this process alone and as long as this is there.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.0.as_raw_fd()))
    }

    fn checked(self, named: &Path) -> io::Result<Self> {
        let named = if named == Path::new("") { Path::new(".") } else { named };
        if self.is_users()? || read_link(self.path())? == absolute(named)? {
            return Ok(self);
        }
        Err(Errno::ACCESS.into())
    }

    /// Whether it is the user's, who may then have anything made in it. Where there is none everything is.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn is_users(&self) -> io::Result<bool> {
        let Some(user) = hands::user() else { return Ok(true) };
        Ok(fstat(&self.0)?.st_uid == user.uid)
    }

    /// The same, and makes it for the user where it is missing.
    ///
    /// # Errors
    /// As [`Folder::fresh`]; without the right to give files away.
    pub fn enter_or_make(&self, name: &OsStr) -> io::Result<Self> {
        match self.fresh(name) {
            Ok(made) => made.give().map(|()| made),
            // Somebody was faster.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.enter(name),
            Err(error) => Err(error),
        }
    }
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A new file for the user, in a folder that is made where it is missing.
///
/// # Errors
/// As [`Folder::make`]; `AlreadyExists`.
pub(crate) fn fresh_file(folder: &Path, name: &str) -> io::Result<File> {
    let folder = Folder::make(folder)?;
    let file = open::fresh(&folder.path().join(name), 0o600)?;
    hands::give(&file)?;
    Ok(file)
}

/// The last folder on the way to `path` that is there.
fn nearest(path: &Path) -> io::Result<(Folder, &Path)> {
    for there in path.ancestors() {
        let opened = if there == Path::new("") { Path::new(".") } else { there };
        match openat(CWD, opened, FOLDER, Mode::empty()) {
            Err(Errno::NOENT) => {}
            opened => return Ok((Folder(opened?), there)),
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, chown, symlink};

    use types::placement::CommandUser;

    use super::*;

    #[test]
    fn what_tools_keep_for_the_user_lies_nowhere_that_his_links_lead() {
        if !geteuid().is_root() {
            return testing::may_skip("what_tools_keep_for_the_user", "only root may give files away");
        }
        hands::choose(CommandUser { uid: 10_001, gid: 10_001 }).unwrap();
        let root = tempfile::tempdir().unwrap();
        let root = root.path().canonicalize().unwrap();
        chown(&root, Some(10_001), Some(10_001)).unwrap();
        fs::create_dir(root.join("private")).unwrap();
        symlink(root.join("private"), root.join("observations")).unwrap();
        assert!(fresh_file(&root.join("observations"), "a").is_err());
        assert_eq!(fs::read_dir(root.join("private")).unwrap().count(), 0);
        fresh_file(&root.join("kept/observations"), "a").unwrap();
        assert_eq!(fs::metadata(root.join("kept/observations/a")).unwrap().uid(), 10_001);
    }
}
