//! Files of keys: written whole or not at all, and for their owner's eyes only where they hold secrets.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::{Error, Result};

/// Who may read a new file, and enter a folder that is made for it.
#[derive(Clone, Copy)]
struct Rights {
    file: u32,
    folder: u32,
}

const OWN: Rights = Rights { file: 0o600, folder: 0o700 };
const PUBLIC: Rights = Rights { file: 0o644, folder: 0o755 };

/// Reads what `store` wrote.
///
/// # Errors
/// The file cannot be read, or holds something else.
pub fn load<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = Zeroizing::new(fs::read(path).map_err(|source| failed(path, source))?);
    serde_json::from_slice(&text).map_err(|_| Error::Damaged(path.to_owned()))
}

/// # Errors
/// The file cannot be read, or holds no text.
pub fn text(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|source| failed(path, source))
}

/// Writes `value` as JSON to a new file, in a folder that is made (mode 0700) if it is missing.
///
/// # Errors
/// `File` with `AlreadyExists` when there is such a file, which stays as it is; any of writing.
pub fn store(path: &Path, value: &impl Serialize) -> Result<()> {
    let text = encoded(path, value)?;
    write_new(path, &text, OWN).map_err(|source| failed(path, source))
}

/// Writes what is no secret to a new file that everybody may read.
///
/// # Errors
/// As [`store`].
pub fn store_public(path: &Path, text: &str) -> Result<()> {
    write_new(path, text.as_bytes(), PUBLIC).map_err(|source| failed(path, source))
}

/// The same in place of what the file holds, if there is one. Who may read it stays.
///
/// # Errors
/// Any of writing; the file is then as it was.
pub fn replace(path: &Path, value: &impl Serialize) -> Result<()> {
    let text = encoded(path, value)?;
    replace_text(path, &text)
}

/// # Errors
/// As [`replace`].
pub fn replace_text(path: &Path, text: &[u8]) -> Result<()> {
    write_over(path, text).map_err(|source| failed(path, source))
}

fn encoded(path: &Path, value: &impl Serialize) -> Result<Zeroizing<Vec<u8>>> {
    let mut text = Zeroizing::new(serde_json::to_vec(value).map_err(|_| Error::Damaged(path.to_owned()))?);
    text.push(b'\n');
    Ok(text)
}

fn write_over(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = draft_of(path, OWN)?;
    write_draft(&draft, bytes, OWN)?;
    let placed = keep_owner(path, &draft).and_then(|()| fs::rename(&draft, path));
    if placed.is_err() {
        // What counts is why the file stays as it was.
        let _ = fs::remove_file(&draft);
    }
    placed.and_then(|()| sync_folder_of(path))
}

fn keep_owner(path: &Path, draft: &Path) -> io::Result<()> {
    let known = match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        known => known?,
    };
    let draft = OpenOptions::new().write(true).open(draft)?;
    fchown(&draft, Some(known.uid()), Some(known.gid()))?;
    draft.set_permissions(known.permissions())
}

fn write_new(path: &Path, bytes: &[u8], rights: Rights) -> io::Result<()> {
    let draft = draft_of(path, rights)?;
    let linked = write_draft(&draft, bytes, rights).and_then(|()| fs::hard_link(&draft, path));
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != ErrorKind::NotFound => linked.and(Err(error)),
        _ => linked.and_then(|()| sync_folder_of(path)),
    }
}

/// What is said to be taken back must not be good again after a power cut.
fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// A name beside `path`, in a folder that is there.
fn draft_of(path: &Path, rights: Rights) -> io::Result<PathBuf> {
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(rights.folder).create(folder)?;
    }
    Ok(path.with_extension(format!("{}.new", std::process::id())))
}

fn write_draft(path: &Path, bytes: &[u8], rights: Rights) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(rights.file).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn failed(path: &Path, source: io::Error) -> Error {
    Error::File { path: path.to_owned(), source }
}
