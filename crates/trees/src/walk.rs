//! One walk through a tree, which removes it from the leaves up.
//!
//! The walk keeps the way from the top to the folder it is in as a stack of levels. A level is the name of a folder,
//! who the folder is (device and inode), and, for the lowest levels only, the folder itself, opened and partly read.
//! So the memory grows with the depth by a name a level, and the number of descriptors does not grow at all.
//!
//! - *Down*: an entry that is a folder and not empty becomes the next level. It is opened below its parent's
//!   descriptor, and never through a link. Where more than [`KEPT_OPEN`] levels are open, the uppermost is closed.
//! - *Up*: a folder that was read to its end is removed by its name from its parent. A parent that was closed is
//!   opened again as `..` of its child, and must be who it was: else somebody has moved folders about, and the walk
//!   ends as [`Stop::Moved`], to begin anew at the top. It is then read from its beginning, which shows only what is
//!   still in it.
//!
//! Everything may change meanwhile. What has gone is gone, what was put in is found by reading again; a folder that is
//! filled up again and again is given up after [`PASSES`] readings. A failure is kept and the walk goes on with the
//! other entries; the levels above what stays are left too. Only where a closed level would have to be read again,
//! and would lead to the same failure again, does it end the walk.
//!
//! Nothing but what is at an entry of an opened folder is ever removed, so whoever changes the tree meanwhile can have
//! no more removed than he could put into it.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, fstat, openat, unlinkat};
use rustix::io::Errno;

/// Levels that are open at once: more than most trees have.
const KEPT_OPEN: usize = 16;
/// How often a folder is read that fills up again.
const PASSES: usize = 64;

/// Why a walk has not removed the whole tree.
pub enum Stop {
    /// A folder is not where it was.
    Moved,
    Failed(io::Error),
}

pub struct Walk<'a> {
    /// What the top is in.
    base: BorrowedFd<'a>,
    /// From the top down.
    levels: Vec<Level>,
    device: u64,
    failure: Option<io::Error>,
}

struct Level {
    name: CString,
    inode: u64,
    /// `None`: closed.
    folder: Option<Dir>,
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
    /// At the folder `name` in `base`.
    pub fn begin(base: &'a OwnedFd, name: &OsStr) -> io::Result<Self> {
        let mut walk = Self { base: base.as_fd(), levels: Vec::new(), device: 0, failure: None };
        let name = CString::new(name.as_encoded_bytes()).map_err(|_| io::ErrorKind::InvalidInput)?;
        match open(walk.base, &name) {
            // It has gone, or is no folder any more: the caller looks again.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
            opened => {
                let (folder, device, inode) = opened?;
                walk.device = device;
                walk.levels.push(Level { name, inode, folder: Some(folder), passes: 0, stays: false });
            }
        }
        Ok(walk)
    }

    pub fn run(mut self, goes_on: &impl Fn() -> bool) -> Result<(), Stop> {
        if self.levels.is_empty() {
            return Err(Stop::Moved);
        }
        while let Some(level) = self.levels.last_mut() {
            if !goes_on() {
                return Err(Stop::Failed(io::ErrorKind::Interrupted.into()));
            }
            let Some(folder) = &mut level.folder else { return Err(Stop::Moved) };
            match folder.read() {
                Some(Ok(entry)) if matches!(entry.file_name().to_bytes(), b"." | b"..") => {}
                Some(Ok(entry)) => self.take(entry.file_name().to_owned(), entry.file_type()),
                Some(Err(error)) => {
                    level.stays = true;
                    self.note(error);
                    self.go_up()?;
                }
                None => self.go_up()?,
            }
        }
        self.failure.map_or(Ok(()), |error| Err(Stop::Failed(error)))
    }

    /// Removes an entry of the lowest level, or goes down into it.
    fn take(&mut self, name: CString, kind: FileType) {
        let taken = self.lowest().and_then(|folder| remove_entry(folder, &name, kind));
        let opened = match taken {
            Ok(Outcome::Gone) => return,
            Ok(Outcome::Folder) => self.lowest().and_then(|folder| open(folder, &name)),
            Err(error) => Err(error),
        };
        match opened {
            Ok((folder, device, inode)) if device == self.device => {
                self.levels.push(Level { name, inode, folder: Some(folder), passes: 0, stays: false });
                let above = self.levels.len().checked_sub(KEPT_OPEN + 1);
                if let Some(level) = above.and_then(|above| self.levels.get_mut(above)) {
                    level.folder = None;
                }
            }
            Ok(_) => self.leave(Errno::XDEV),
            // It has changed since it was read: the next reading shows what it is now.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
            Err(error) => self.leave(error),
        }
    }

    fn lowest(&self) -> Result<BorrowedFd<'_>, Errno> {
        self.levels.last().and_then(|level| level.folder.as_ref()).ok_or(Errno::BADF)?.fd()
    }

    /// Removes the lowest level, which was read to its end, from the one above it.
    fn go_up(&mut self) -> Result<(), Stop> {
        let Some(mut done) = self.levels.pop() else { return Ok(()) };
        self.open_lowest(&done)?;
        if done.stays {
            if let Some(above) = self.levels.last_mut() {
                above.stays = true;
            }
            return Ok(());
        }
        let above = if self.levels.is_empty() { Ok(self.base) } else { self.lowest() };
        match above.and_then(|above| unlinkat(above, done.name.as_c_str(), AtFlags::REMOVEDIR)) {
            // It is what lies there now that is not a folder any more.
            Ok(()) | Err(Errno::NOENT | Errno::NOTDIR) => Ok(()),
            Err(Errno::NOTEMPTY | Errno::EXIST) if done.passes < PASSES => {
                done.passes += 1;
                if let Some(folder) = &mut done.folder {
                    folder.rewind();
                }
                self.levels.push(done);
                Ok(())
            }
            Err(error) => {
                self.leave(error);
                Ok(())
            }
        }
    }

    /// Opens the lowest level again if it is closed, from its child.
    fn open_lowest(&mut self, child: &Level) -> Result<(), Stop> {
        let Some(level) = self.levels.last_mut().filter(|level| level.folder.is_none()) else {
            return Ok(());
        };
        if let Some(failure) = self.failure.take_if(|_| level.stays || child.stays) {
            return Err(Stop::Failed(failure));
        }
        let below = child.folder.as_ref().ok_or(Errno::BADF).and_then(Dir::fd);
        match below.and_then(|below| open(below, c"..")) {
            Ok((folder, device, inode)) if (device, inode) == (self.device, level.inode) => {
                level.folder = Some(folder);
                Ok(())
            }
            Ok(_) => Err(Stop::Moved),
            Err(error) => Err(Stop::Failed(error.into())),
        }
    }

    /// Goes on without an entry of the lowest level.
    fn leave(&mut self, error: Errno) {
        if let Some(level) = self.levels.last_mut() {
            level.stays = true;
        }
        self.note(error);
    }

    fn note(&mut self, error: Errno) {
        self.failure.get_or_insert(error.into());
    }
}

fn remove_entry(folder: BorrowedFd<'_>, name: &CString, kind: FileType) -> Result<Outcome, Errno> {
    if kind != FileType::Directory {
        match unlinkat(folder, name.as_c_str(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => return Ok(Outcome::Gone),
            Err(Errno::ISDIR) => {}
            Err(error) => return Err(error),
        }
    }
    match unlinkat(folder, name.as_c_str(), AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(Outcome::Gone),
        Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(Outcome::Folder),
        Err(error) => Err(error),
    }
}

/// A folder, its device and its inode.
fn open(below: BorrowedFd<'_>, name: &std::ffi::CStr) -> Result<(Dir, u64, u64), Errno> {
    let how = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = openat(below, name, how, Mode::empty())?;
    let status = fstat(&folder)?;
    Ok((Dir::new(folder)?, status.st_dev, status.st_ino))
}
