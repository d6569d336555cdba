//! Goes through the entries of an archive. What stands ahead of one in the archive, a long name above all, is read here and with
//! a bound: the library would take as much into memory as the archive says it is.

use std::ffi::OsString;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use tar::{Archive, Entries, Entry, PaxExtensions};

use super::unpack::Error;

/// Bytes of what stands ahead of an entry.
const MOST_AHEAD: u64 = 64 << 10;

pub(super) struct Walk<'a, R: Read> {
    entries: Entries<'a, R>,
    left: usize,
    most_bytes: u64,
}

impl<'a, R: Read> Walk<'a, R> {
    /// Of so many entries at most, none of them larger than `most_bytes`.
    pub fn through(archive: &'a mut Archive<R>, most: usize, most_bytes: u64) -> Result<Self, Error> {
        let entries = archive.entries().map_err(Error::of_reading)?.raw(true);
        Ok(Self { entries, left: most, most_bytes })
    }

    /// The next one and its whole path; `None` at the end.
    pub fn next_entry(&mut self) -> Result<Option<(PathBuf, Entry<'a, R>)>, Error> {
        let mut name = None;
        for entry in self.entries.by_ref() {
            let mut entry = entry.map_err(Error::of_reading)?;
            let kind = entry.header().entry_type();
            if kind.is_gnu_longname() {
                name = Some(long_name(ahead(&mut entry)?));
            } else if kind.is_pax_local_extensions() {
                let path = path_among(&ahead(&mut entry)?)?;
                name = name.or(path);
            } else if kind.is_pax_global_extensions() || kind.is_gnu_longlink() {
                ahead(&mut entry)?;
            } else {
                self.left = self.left.checked_sub(1).ok_or(Error::TooLarge)?;
                if entry.size() > self.most_bytes {
                    return Err(Error::TooLarge);
                }
                let name = name.unwrap_or_else(|| entry.path_bytes().into_owned());
                return Ok(Some((PathBuf::from(OsString::from_vec(name)), entry)));
            }
        }
        Ok(None)
    }
}

/// The whole of what stands ahead of an entry.
fn ahead<R: Read>(entry: &mut Entry<'_, R>) -> Result<Vec<u8>, Error> {
    if entry.size() > MOST_AHEAD {
        return Err(Error::Unsafe);
    }
    let mut text = Vec::new();
    entry.take(MOST_AHEAD).read_to_end(&mut text).map_err(Error::of_reading)?;
    Ok(text)
}

/// It ends with a NUL.
fn long_name(mut text: Vec<u8>) -> Vec<u8> {
    if text.last() == Some(&0) {
        text.pop();
    }
    text
}

/// The path. A length stands there only where it is more than is kept; one that differs from that of the entry itself would make
/// it another archive for others who read it.
fn path_among(extensions: &[u8]) -> Result<Option<Vec<u8>>, Error> {
    let mut path = None;
    for extension in PaxExtensions::new(extensions).filter_map(Result::ok) {
        match extension.key_bytes() {
            b"size" => return Err(Error::Unsafe),
            b"path" if path.is_none() => path = Some(extension.value_bytes().to_vec()),
            _ => {}
        }
    }
    Ok(path)
}
