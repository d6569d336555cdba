//! Removal of folder trees that strangers have made: of any depth and width and whatever their modes, with bounded stack,
//! memory and descriptors, and without ever following a link.

mod walk;

use std::io;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, openat, unlinkat};
use rustix::io::Errno;

use walk::Walk;

/// How often it is looked anew at what changes between a file and a folder.
const TRIES: usize = 16;

/// Removes whatever is at `path`, and everything below it. What is absent is no error. A link is removed, not what
/// it leads to; another file system that is mounted below is left alone.
///
/// What cannot be removed does not keep the rest from being removed.
///
/// # Errors
/// Why the first of what is left could not be removed.
pub fn remove(path: &Path) -> io::Result<()> {
    remove_while(path, || true)
}

/// As [`remove`], as long as `goes_on` says so; it is asked before every step.
///
/// # Errors
/// As [`remove`]; `Interrupted` when it was told to end.
pub fn remove_while(path: &Path, goes_on: impl Fn() -> bool) -> io::Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let base = match openat(CWD, parent, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(()),
        opened => opened?,
    };
    for _ in 0..TRIES {
        match unlinkat(&base, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::ISDIR) => {}
            Err(error) => return Err(error.into()),
        }
        if let Some(walk) = Walk::begin(&base, name)? {
            return walk.run(&goes_on);
        }
    }
    Err(io::Error::other("the folder does not stay as it is for long enough to be removed"))
}
