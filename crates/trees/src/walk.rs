//! One walk through a tree, which removes it from the leaves up.
//!
//! The walk keeps the way from the top to the folder it is in as a stack of levels, each an opened and partly read
//! folder with its name. There are few of them, however deep the tree is, so that neither memory nor descriptors grow:
//!
//! - *Down*: an entry that is a folder and not empty becomes the next level. It is opened below its parent's
//!   descriptor, and never through a link. Where its mode would keep us from emptying it, and it is ours, it gets another.
//! - *Across*: what is below [`DEEP`] levels is not gone into, but renamed into the top, and found there when the top is
//!   read again. File systems that cannot rename a folder (those of an image's layers) are gone into further, down to
//!   [`DEEPEST`] levels.
//! - *Up*: a folder that was read to its end is removed by its name from its parent.
//!
//! Everything may change meanwhile. What has gone is gone, what was put in is found by reading again; a folder that is
//! filled up again and again is given up after [`PASSES`] readings. A failure is kept and the walk goes on with the
//! other entries; the levels above what stays are left too. Readings for the sake of what was renamed into the top do not
//! count: each of them follows on at least one folder that is less deep than before.
//!
//! Nothing but what is at an entry of an opened folder is ever removed or renamed, so whoever changes the tree meanwhile
//! can have no more removed than he could put into it.

use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, chmod, fchmod, fstat, openat, renameat, unlinkat};
use rustix::io::Errno;

/// Levels that are gone into: more than most trees have.
const DEEP: usize = 16;
/// As many where what is below cannot be renamed.
const DEEPEST: usize = 128;
/// How often a folder is read that fills up again.
const PASSES: usize = 64;
/// How many names are tried for what is renamed.
const NAMES: usize = 1_000;

pub struct Walk<'a> {
    /// What the top is in.
    base: BorrowedFd<'a>,
    /// From the top down.
    levels: Vec<Level>,
    device: u64,
    failure: Option<io::Error>,
    /// Something was renamed into the top since it was last read from its beginning.
    is_filled: bool,
    next_name: u64,
}

struct Level {
    name: CString,
    folder: Dir,
    passes: usize,
    /// Something in it cannot be removed, so it cannot either.
    stays: bool,
}

/// What became of an entry.
enum Outcome {
    Gone,
    Folder,
}

impl<'a> Walk<'a> {
    /// At the folder `name` in `base`; `None` where it has gone or is no folder any more.
    pub fn begin(base: &'a OwnedFd, name: &OsStr) -> io::Result<Option<Self>> {
        let base = base.as_fd();
        let name = CString::new(name.as_encoded_bytes()).map_err(|_| io::ErrorKind::InvalidInput)?;
        let (folder, device) = match open(base, &name, None) {
            Err(error) if has_changed(error) => return Ok(None),
            opened => opened?,
        };
        let levels = vec![Level { name, folder, passes: 0, stays: false }];
        Ok(Some(Self { base, levels, device, failure: None, is_filled: false, next_name: 0 }))
    }

    pub fn run(mut self, goes_on: &impl Fn() -> bool) -> io::Result<()> {
        while let Some(level) = self.levels.last_mut() {
            if !goes_on() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            match level.folder.read() {
                Some(Ok(entry)) if matches!(entry.file_name().to_bytes(), b"." | b"..") => {}
                Some(Ok(entry)) => self.take(entry.file_name().to_owned(), entry.file_type()),
                Some(Err(error)) => {
                    self.leave(error);
                    self.go_up();
                }
                None => self.go_up(),
            }
        }
        self.failure.map_or(Ok(()), Err)
    }

    /// Removes an entry of the lowest level, or goes down into it.
    fn take(&mut self, name: CString, kind: FileType) {
        match self.try_to_take(&name, kind) {
            Ok(None) => {}
            Ok(Some(folder)) => self.levels.push(Level { name, folder, passes: 0, stays: false }),
            // It has changed since it was read: the next reading shows what it is now.
            Err(error) if has_changed(error) => {}
            Err(error) => self.leave(error),
        }
    }

    /// `Some`: a folder to go into.
    fn try_to_take(&mut self, name: &CStr, kind: FileType) -> Result<Option<Dir>, Errno> {
        let lowest = self.lowest()?;
        if matches!(remove_entry(lowest, name, kind)?, Outcome::Gone) {
            return Ok(None);
        }
        let (folder, _) = open(lowest, name, Some(self.device))?;
        if self.levels.len() < DEEP {
            return Ok(Some(folder));
        }
        match self.lift(name) {
            Ok(()) => Ok(None),
            Err(_) if self.levels.len() < DEEPEST => Ok(Some(folder)),
            Err(error) => Err(error),
        }
    }

    /// Renames a folder of the lowest level into the top.
    fn lift(&mut self, name: &CStr) -> Result<(), Errno> {
        for _ in 0..NAMES {
            let lifted = format!("lifted-{}", self.next_name);
            self.next_name += 1;
            let top = self.levels.first().ok_or(Errno::BADF)?.folder.fd()?;
            match renameat(self.lowest()?, name, top, lifted.as_str()) {
                Ok(()) => {
                    self.is_filled = true;
                    return Ok(());
                }
                // Something has the name.
                Err(Errno::EXIST | Errno::NOTEMPTY | Errno::NOTDIR) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Errno::EXIST)
    }

    fn lowest(&self) -> Result<BorrowedFd<'_>, Errno> {
        self.levels.last().ok_or(Errno::BADF)?.folder.fd()
    }

    /// Removes the lowest level, which was read to its end, from the one above it.
    fn go_up(&mut self) {
        let Some(mut done) = self.levels.pop() else { return };
        let is_filled = self.levels.is_empty() && std::mem::take(&mut self.is_filled);
        if is_filled {
            return self.read_again(done);
        }
        if done.stays {
            if let Some(above) = self.levels.last_mut() {
                above.stays = true;
            }
            return;
        }
        let above = if self.levels.is_empty() { Ok(self.base) } else { self.lowest() };
        match above.and_then(|above| unlinkat(above, done.name.as_c_str(), AtFlags::REMOVEDIR)) {
            // It is what lies there now that is not a folder any more.
            Ok(()) | Err(Errno::NOENT | Errno::NOTDIR) => {}
            Err(Errno::NOTEMPTY | Errno::EXIST) if done.passes < PASSES => {
                done.passes += 1;
                self.read_again(done);
            }
            Err(error) => self.leave(error),
        }
    }

    fn read_again(&mut self, mut level: Level) {
        level.folder.rewind();
        self.levels.push(level);
    }

    /// Goes on without an entry of the lowest level.
    fn leave(&mut self, error: Errno) {
        if let Some(level) = self.levels.last_mut() {
            level.stays = true;
        }
        self.failure.get_or_insert(error.into());
    }
}

fn has_changed(error: Errno) -> bool {
    matches!(error, Errno::NOENT | Errno::NOTDIR | Errno::LOOP)
}

fn remove_entry(folder: BorrowedFd<'_>, name: &CStr, kind: FileType) -> Result<Outcome, Errno> {
    if kind != FileType::Directory {
        match unlinkat(folder, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => return Ok(Outcome::Gone),
            Err(Errno::ISDIR) => {}
            Err(error) => return Err(error),
        }
    }
    match unlinkat(folder, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(Outcome::Gone),
        Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(Outcome::Folder),
        Err(error) => Err(error),
    }
}

/// A folder that can be emptied, and its device, which must be `device` if that is known.
fn open(below: BorrowedFd<'_>, name: &CStr, device: Option<u64>) -> Result<(Dir, u64), Errno> {
    let how = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = match openat(below, name, how | OFlags::RDONLY, Mode::empty()) {
        Err(Errno::ACCESS) => {
            let closed = openat(below, name, how | OFlags::PATH, Mode::empty())?;
            check(&closed, device)?;
            // A descriptor of a folder that may not be read takes no new mode, but its name in here does.
            chmod(format!("/proc/self/fd/{}", closed.as_raw_fd()), Mode::RWXU)?;
            openat(&closed, c".", how | OFlags::RDONLY, Mode::empty())?
        }
        opened => opened?,
    };
    let (device, mode) = check(&folder, device)?;
    if !mode.contains(Mode::RWXU) {
        // Of somebody else it stays as it is, and what cannot be removed is told then.
        let _ = fchmod(&folder, Mode::RWXU);
    }
    Ok((Dir::new(folder)?, device))
}

/// The device and the mode of a folder; an error where it is of another file system.
fn check(folder: &OwnedFd, device: Option<u64>) -> Result<(u64, Mode), Errno> {
    let status = fstat(folder)?;
    match device {
        Some(device) if device != status.st_dev => Err(Errno::XDEV),
        _ => Ok((status.st_dev, Mode::from_raw_mode(status.st_mode))),
    }
}
