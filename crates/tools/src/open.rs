//! Opening files that agents make, for whoever does it for them: tools and services of the worker.
//!
//! What a path leads to belongs to the agent, and may become something else at any moment: a pipe that nobody
//! writes to would keep the reader for ever, a device could be changed by being opened. So a file is looked at
//! before it is opened, is opened without waiting, and is looked at again once it is open. What `/proc` holds of this very
//! process, its memory above all, is opened for nobody: the kernel would let the process do what others may not.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat, fstat, fstatfs, ftruncate, openat, statat};

/// Neither waits for the other end of a pipe, nor makes a terminal ours.
const PATIENT: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// The kind of file system that `/proc` is.
const PROC: u64 = 0x9fa0;

pub enum Opened {
    File(File),
    Folder,
    /// A pipe, a socket, a device, a symlink where none is followed, or a file about this process.
    Other,
}

/// What to do about a symlink at the end of a path.
#[derive(Clone, Copy, PartialEq)]
pub enum Symlink {
    Follow,
    Refuse,
}

/// Opens `name` in an open folder for reading.
///
/// # Errors
/// Those of the operating system.
pub fn at(folder: impl AsFd, name: &Path, symlink: Symlink) -> rustix::io::Result<Opened> {
    let (look, open) = match symlink {
        Symlink::Follow => (AtFlags::empty(), PATIENT),
        Symlink::Refuse => (AtFlags::SYMLINK_NOFOLLOW, PATIENT | OFlags::NOFOLLOW),
    };
    match kind(&statat(&folder, name, look)?) {
        FileType::RegularFile => {}
        FileType::Directory => return Ok(Opened::Folder),
        _ => return Ok(Opened::Other),
    }
    examine(openat(&folder, name, open, Mode::empty())?)
}

/// Opens the file `name` in an open folder for writing, and empties it.
///
/// # Errors
/// Those of the operating system.
pub fn to_replace(folder: impl AsFd, name: &Path) -> rustix::io::Result<Opened> {
    let opened = to_write(folder, name)?;
    if let Opened::File(file) = &opened {
        ftruncate(file, 0)?;
    }
    Ok(opened)
}

/// Opens the file `name` in an open folder for writing; no symlink at its end is followed.
///
/// # Errors
/// Those of the operating system.
pub fn to_write(folder: impl AsFd, name: &Path) -> rustix::io::Result<Opened> {
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::NOCTTY | OFlags::CLOEXEC;
    examine(openat(&folder, name, flags, Mode::empty())?)
}

/// Makes the file `path`, which must not be there yet, not even as a symlink.
///
/// # Errors
/// Those of the operating system.
pub fn fresh(path: &Path, mode: u32) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(CWD, path, flags, Mode::from_raw_mode(mode))?.into())
}

/// It may have become something else between the look and the opening.
fn examine(file: OwnedFd) -> rustix::io::Result<Opened> {
    let stat = fstat(&file)?;
    Ok(match kind(&stat) {
        FileType::RegularFile if is_own(&file) => Opened::Other,
        FileType::RegularFile => Opened::File(file.into()),
        FileType::Directory => Opened::Folder,
        _ => Opened::Other,
    })
}

/// Whether a file of `/proc` is about this process, or about a thread of it.
fn is_own(file: &OwnedFd) -> bool {
    let is_of_proc = fstatfs(file).is_ok_and(|system| u64::try_from(system.f_type) == Ok(PROC));
    if !is_of_proc {
        return false;
    }
    let Ok(path) = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())) else { return true };
    let is_thread =
        |name: &str| name.parse::<u32>().is_ok() && Path::new("/proc/self/task").join(name).exists();
    path.iter().filter_map(|name| name.to_str()).any(is_thread)
}

/// Opens what is at `path` for reading.
///
/// # Errors
/// Those of the operating system.
pub fn path(path: &Path, symlink: Symlink) -> io::Result<Opened> {
    Ok(at(CWD, path, symlink)?)
}

/// The content of a regular file of at most `longest` bytes.
///
/// # Errors
/// Those of the operating system; `InvalidInput` for what is no file, `FileTooLarge` beyond `longest`.
pub fn content(at: &Path, symlink: Symlink, longest: u64) -> io::Result<Vec<u8>> {
    let Opened::File(file) = path(at, symlink)? else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let mut bytes = Vec::new();
    file.take(longest + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > longest { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(bytes) }
}

fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}
