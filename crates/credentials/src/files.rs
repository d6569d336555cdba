//! Secrets in files: mode 0600, written whole or not at all, and never written over.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::{Error, Result};

/// Reads what `store` wrote.
///
/// # Errors
/// The file cannot be read, or holds something else.
pub fn load<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = Zeroizing::new(fs::read(path).map_err(|source| failed(path, source))?);
    serde_json::from_slice(&text).map_err(|_| Error::Damaged(path.to_owned()))
}

/// Writes `value` as JSON to a new file, in a folder that is made (mode 0700) if it is missing.
///
/// # Errors
/// `File` with `AlreadyExists` when there is such a file, which stays as it is; any of writing.
pub fn store(path: &Path, value: &impl Serialize) -> Result<()> {
    let mut text = Zeroizing::new(serde_json::to_vec(value).map_err(|_| Error::Damaged(path.to_owned()))?);
    text.push(b'\n');
    write_new(path, &text).map_err(|source| failed(path, source))
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let draft = path.with_extension(format!("{}.new", std::process::id()));
    let linked = write_draft(&draft, bytes).and_then(|()| fs::hard_link(&draft, path));
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != ErrorKind::NotFound => linked.and(Err(error)),
        _ => linked,
    }
}

fn write_draft(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn failed(path: &Path, source: io::Error) -> Error {
    Error::File { path: path.to_owned(), source }
}
