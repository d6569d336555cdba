//! Reading and replacing files safely.

use std::fs::{Metadata, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::fs::{CWD, FallocateFlags, fallocate};
use rustix::io::Errno;

use super::text::is_binary;
use crate::hands;
use crate::open::{self, Opened, Symlink};

const MAX_BYTES: u64 = 10 * 1024 * 1024;
const DEFAULT_MODE: u32 = 0o644;
const NEW_MODE: u32 = 0o666;
/// What is said of a file that can be made or moved nowhere beside another, which may be written itself all the same.
const NOT_BESIDE: [io::ErrorKind; 4] = [
    io::ErrorKind::PermissionDenied,
    io::ErrorKind::ReadOnlyFilesystem,
    io::ErrorKind::ResourceBusy,
    io::ErrorKind::CrossesDevices,
];
const NOT_REGULAR: &str = "It is not a regular file.";

/// The whole of a text file.
///
/// # Errors
/// Too large, binary or unreadable, in words for the model.
pub fn read_text(path: &Path) -> Result<Vec<u8>, String> {
    let bytes = read(path)?;
    if is_binary(&bytes) {
        return Err(refused(path, "File appears to be binary and this editor only works on text files."));
    }
    Ok(bytes)
}

/// The whole of any file.
///
/// # Errors
/// Too large, not a regular file, or unreadable, in words for the model.
pub fn read(path: &Path) -> Result<Vec<u8>, String> {
    let failed = |error: io::Error| format!("Ran into {error} while trying to read {}", path.display());
    let Opened::File(file) = open::path(path, Symlink::Follow).map_err(failed)? else {
        return Err(refused(path, NOT_REGULAR));
    };
    check_size(path, file.metadata().map_err(failed)?.len())?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    check_size(path, bytes.len() as u64)?;
    Ok(bytes)
}

/// Makes `path` hold `bytes`: all of them or, on failure, what it held before. Mode and owner are kept; a
/// symbolic link stays one. A file with other names (hard links) is written in place, so that it stays one file, and so is one
/// beside which none can be made that is like it: its folder may not be written, it is mounted alone, its owner is somebody
/// else. Only a crash in the middle of that leaves it half written.
///
/// # Errors
/// In words for the model; they name `path` only.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), String> {
    let size = bytes.len() as u64;
    check_size(path, size)?;
    write_over(path, bytes)
        .map_err(|error| format!("Ran into {error} while trying to write to {}", path.display()))
}

/// Like [`replace`], for a file that must not exist yet.
pub fn create(path: &Path, bytes: &[u8]) -> Result<(), String> {
    check_size(path, bytes.len() as u64)?;
    let written = open::fresh(path, NEW_MODE).and_then(|mut file| {
        let written = hands::give(&file).and_then(|()| file.write_all(bytes));
        if written.is_err() {
            let _ = std::fs::remove_file(path);
        }
        written
    });
    written.map_err(|error| format!("Ran into {error} while trying to write to {}", path.display()))
}

fn write_over(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let path = std::fs::canonicalize(path)?;
    let before = std::fs::metadata(&path)?;
    if before.nlink() > 1 {
        return write_in_place(&path, bytes);
    }
    match write_beside(&path, bytes, &before) {
        Err(error) if NOT_BESIDE.contains(&error.kind()) => write_in_place(&path, bytes),
        written => written,
    }
}

fn write_in_place(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let Opened::File(mut file) = open::to_write(CWD, path)? else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, NOT_REGULAR));
    };
    // A full disk shows here, while the file is still what it was. Not every file system can tell.
    match fallocate(&file, FallocateFlags::KEEP_SIZE, 0, bytes.len().max(1) as u64) {
        Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => {}
        Err(error) => return Err(error.into()),
    }
    file.write_all(bytes)?;
    file.set_len(bytes.len() as u64)
}

fn write_beside(path: &Path, bytes: &[u8], before: &Metadata) -> io::Result<()> {
    let fresh = path.with_file_name(format!(".{}.tmp", uuid::Uuid::new_v4().simple()));
    let written = write_fresh(&fresh, bytes, before).and_then(|()| std::fs::rename(&fresh, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&fresh);
    }
    written
}

fn write_fresh(fresh: &Path, bytes: &[u8], before: &Metadata) -> io::Result<()> {
    let mut file = open::fresh(fresh, DEFAULT_MODE)?;
    file.write_all(bytes)?;
    let now = file.metadata()?;
    if (now.uid(), now.gid()) != (before.uid(), before.gid()) {
        std::os::unix::fs::fchown(&file, Some(before.uid()), Some(before.gid()))?;
    }
    file.set_permissions(Permissions::from_mode(before.mode() & 0o7777))
}

/// # Errors
/// A file of so many bytes is too large, in words for the model.
pub fn check_size(path: &Path, size: u64) -> Result<(), String> {
    if size <= MAX_BYTES {
        return Ok(());
    }
    #[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
    let megabytes = size as f64 / (1024.0 * 1024.0);
    Err(refused(path, &format!("File is too large ({megabytes:.1}MB). Maximum allowed size is 10MB.")))
}

/// The text for a file that is not fit for a tool.
#[must_use]
pub fn refused(path: &Path, reason: &str) -> String {
    format!("File validation failed for {}: {reason}", path.display())
}
