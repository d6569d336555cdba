//! Failures of the operating system, as clients may see them.

use std::io;

use ports::rpc::{Code, Fault};
use rustix::io::Errno;

pub(super) fn bad_request(message: impl Into<String>) -> Fault {
    Fault::new(Code::BadRequest, message)
}

pub(super) fn not_found(message: impl Into<String>) -> Fault {
    Fault::new(Code::NotFound, message)
}

/// The fault of a failed file operation; `missing` says what was not found.
pub(super) fn of_file(error: &io::Error, missing: &str) -> Fault {
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::NOENT) => not_found(missing),
        Some(Errno::ACCESS | Errno::PERM | Errno::ROFS) => Fault::new(Code::Forbidden, "Permission denied"),
        Some(Errno::NOTDIR) => bad_request("A parent of the path is not a directory"),
        Some(Errno::ISDIR) => bad_request("Path is a directory"),
        Some(Errno::NAMETOOLONG | Errno::LOOP | Errno::INVAL) => bad_request("Path cannot be used"),
        _ => Fault::internal(error),
    }
}
