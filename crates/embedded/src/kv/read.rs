//! Reading the values of a bucket.

use std::fs;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::vec;

use bytes::Bytes;
use ports::{Change, KvEntry};

use crate::place::key_of;

const PAGE: usize = 1_000;
const PAGE_BYTES: usize = 4 << 20;

/// `NotFound` for an absent key, `InvalidData` for a file that holds no revision.
pub fn entry(path: &Path) -> io::Result<KvEntry> {
    let bytes = Bytes::from(fs::read(path)?);
    let damaged = || io::Error::new(ErrorKind::InvalidData, "a key's file does not begin with its revision");
    let end = memchr::memchr(b'\n', &bytes).ok_or_else(damaged)?;
    let revision = bytes.get(..end).and_then(number).ok_or_else(damaged)?;
    Ok(KvEntry { revision, value: bytes.slice(end + 1..) })
}

/// A bucket that is read in pieces. Only the names of its keys are in memory.
pub struct Pages {
    folder: PathBuf,
    keys: vec::IntoIter<KeyFile>,
}

impl Pages {
    pub fn open(folder: PathBuf) -> io::Result<Self> {
        let keys = keys(&folder)?.into_iter();
        Ok(Self { folder, keys })
    }

    /// The next keys with their values, in order; none when all were read. Damaged ones are left out, with a
    /// warning.
    pub fn next_page(&mut self) -> io::Result<Vec<Change>> {
        let (mut page, mut bytes) = (Vec::new(), 0);
        while page.len() < PAGE && bytes < PAGE_BYTES {
            let Some(key) = self.keys.next() else { break };
            match entry(&self.folder.join(&key.file_name)) {
                Ok(entry) => {
                    bytes += entry.value.len();
                    page.push(Change::Put { key: key.name, entry });
                }
                // Deleted since the folder was read.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) if error.kind() == ErrorKind::InvalidData => {
                    let folder = self.folder.display();
                    tracing::error!(key = %key.name, %folder, %error, "a key is left out");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(page)
    }
}

/// Every key with its revision, which is 0 for a damaged one.
pub fn revisions(folder: &Path) -> io::Result<Vec<(String, u64)>> {
    let keys = keys(folder)?.into_iter();
    keys.map(|key| Ok((key.name, revision(&folder.join(&key.file_name))?))).collect()
}

/// The number on the first line; 0 if there is none.
pub fn revision(path: &Path) -> io::Result<u64> {
    let mut head = [0; 24];
    let length = fs::File::open(path)?.read(&mut head)?;
    let line = head.get(..length).and_then(|head| head.split(|byte| *byte == b'\n').next());
    Ok(line.and_then(number).unwrap_or(0))
}

struct KeyFile {
    name: String,
    file_name: String,
}

/// In the order of the keys; none for an absent bucket.
fn keys(folder: &Path) -> io::Result<Vec<KeyFile>> {
    let files = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        files => files?,
    };
    let mut keys = Vec::new();
    for file in files {
        let Ok(file_name) = file?.file_name().into_string() else { continue };
        keys.extend(key_of(&file_name).map(|name| KeyFile { name, file_name }));
    }
    keys.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    Ok(keys)
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}
