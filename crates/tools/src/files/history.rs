//! What files held before their edits, for `undo_edit`.
//!
//! The versions lie in the conversation's folder, one file each, so they are there as long as the conversation is,
//! whatever becomes of the tools or of the server. They are bounded in number and bytes. A file begins with a line
//! of JSON that says whose version it is; a file that is not as long as that line says was cut by a crash.

use std::collections::{BTreeSet, VecDeque};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::folder::Folder;
use crate::open::{self, Opened, Symlink};

const PER_FILE: usize = 10;
const MAX_BYTES: u64 = 32 * 1024 * 1024;
/// Versions of all files. Commands may write into the folder: what is more than that is not looked at.
const MOST: usize = 1_000;
/// No version has a higher number, so that there is always a next one.
const HIGHEST: u64 = 1 << 48;
/// Of the line that a version begins with: a path fits with room to spare.
const MAX_HEAD: u64 = 64 * 1024;

/// Oldest first, all files together. Read from its folder at the first use.
pub struct History {
    folder: PathBuf,
    versions: Option<VecDeque<Version>>,
}

struct Version {
    number: u64,
    head: Head,
}

#[derive(Serialize, Deserialize)]
struct Head {
    path: PathBuf,
    /// Bytes of what the file held.
    length: u64,
    /// Of what the edit left behind.
    after: u64,
}

/// The version an undo goes back to.
pub struct Earlier {
    pub bytes: Vec<u8>,
    /// The file is no longer what the edit had made of it.
    pub changed_since: bool,
}

impl History {
    /// Nothing is read or made yet.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, versions: None }
    }

    /// # Errors
    /// The version cannot be kept: the edit cannot be undone.
    pub fn push(&mut self, path: &Path, before: &[u8], after: &[u8]) -> io::Result<()> {
        let number = self.versions().back().map_or(0, |version| version.number + 1);
        let head = Head { path: path.to_owned(), length: before.len() as u64, after: fingerprint(after) };
        let folder = Folder::make(&self.folder)?;
        let place = place(&folder.path(), number);
        if let Err(error) = write(&place, &head, before) {
            let _ = std::fs::remove_file(place);
            return Err(error);
        }
        self.versions().push_back(Version { number, head });
        self.forget_what_is_too_much(path);
        Ok(())
    }

    /// Takes the newest version of `path` out.
    pub fn pop(&mut self, path: &Path, current: &[u8]) -> Option<Earlier> {
        let versions = self.versions();
        let position = versions.iter().rposition(|version| version.head.path == path)?;
        let Version { number, head } = versions.remove(position)?;
        let place = self.place(number);
        let bytes = read(&place, &head);
        let _ = std::fs::remove_file(place);
        Some(Earlier { bytes: bytes.ok()?, changed_since: head.after != fingerprint(current) })
    }

    fn forget_what_is_too_much(&mut self, path: &Path) {
        let versions = self.versions();
        if versions.iter().filter(|version| version.head.path == path).count() > PER_FILE {
            self.forget_oldest(|version| version.head.path == path);
        }
        let bytes =
            |versions: &VecDeque<Version>| versions.iter().map(|version| version.head.length).sum::<u64>();
        while self.versions().len() > MOST || bytes(self.versions()) > MAX_BYTES {
            self.forget_oldest(|_| true);
        }
    }

    fn forget_oldest(&mut self, wanted: impl Fn(&Version) -> bool) {
        let versions = self.versions();
        let oldest = versions.iter().position(wanted).and_then(|position| versions.remove(position));
        if let Some(version) = oldest {
            let _ = std::fs::remove_file(self.place(version.number));
        }
    }

    fn versions(&mut self) -> &mut VecDeque<Version> {
        let folder = &self.folder;
        self.versions.get_or_insert_with(|| load(folder))
    }

    fn place(&self, number: u64) -> PathBuf {
        place(&self.folder, number)
    }
}

fn load(folder: &Path) -> VecDeque<Version> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return VecDeque::new();
    };
    let mut newest = BTreeSet::new();
    for entry in entries.filter_map(Result::ok) {
        let number = entry.file_name().to_str().and_then(|name| name.parse::<u64>().ok());
        newest.extend(number.filter(|number| *number < HIGHEST));
        if newest.len() > MOST {
            newest.pop_first();
        }
    }
    let version = |number| Some(Version { number, head: look(&place(folder, number)).ok()?.0 });
    newest.into_iter().filter_map(version).collect()
}

fn place(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:010}"))
}

fn write(place: &Path, head: &Head, before: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(place)?;
    let mut line = serde_json::to_vec(head)?;
    line.push(b'\n');
    file.write_all(&line)?;
    file.write_all(before)
}

fn read(place: &Path, expected: &Head) -> io::Result<Vec<u8>> {
    let (head, file) = look(place)?;
    let mut bytes = Vec::new();
    file.take(head.length).read_to_end(&mut bytes)?;
    if (bytes.len() as u64, &head.path) != (expected.length, &expected.path) {
        return Err(io::Error::other("the version is not what it was"));
    }
    Ok(bytes)
}

/// What a version says of itself, and what comes after that.
fn look(place: &Path) -> io::Result<(Head, BufReader<File>)> {
    // Nothing that a command has put there is followed or waited for.
    let Opened::File(file) = open::path(place, Symlink::Refuse)? else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let meta = file.metadata()?;
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    reader.by_ref().take(MAX_HEAD).read_until(b'\n', &mut line)?;
    let head: Head = serde_json::from_slice(&line)?;
    if head.length > MAX_BYTES || meta.len().checked_sub(line.len() as u64) != Some(head.length) {
        return Err(io::Error::other("the version is not whole"));
    }
    Ok((head, reader))
}

/// FNV-1a: the same in every release, and only ever compared to tell a user of other changes.
fn fingerprint(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(folder: &Path) -> usize {
        std::fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn the_ten_last_versions_of_each_file_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let mut history = History::new(folder.path().to_owned());
        let (one, two) = (Path::new("/one"), Path::new("/two"));
        history.push(two, b"kept", b"").unwrap();
        for version in 0..15u8 {
            history.push(one, &[version], &[version + 1]).unwrap();
        }
        assert_eq!(files(folder.path()), 11);
        for version in (5..15u8).rev() {
            assert_eq!(history.pop(one, b"").map(|earlier| earlier.bytes), Some(vec![version]));
        }
        assert!(history.pop(one, b"").is_none());
        assert!(!history.pop(two, b"").unwrap().changed_since);
        assert_eq!(files(folder.path()), 0);
    }

    #[test]
    fn large_versions_do_not_pile_up() {
        let folder = tempfile::tempdir().unwrap();
        let mut history = History::new(folder.path().to_owned());
        let large = vec![0; usize::try_from(MAX_BYTES).unwrap() / 3];
        for file in 0..6 {
            history.push(Path::new(&format!("/{file}")), &large, b"").unwrap();
        }
        assert_eq!(files(folder.path()), 3);
        assert!(history.pop(Path::new("/5"), b"").is_some());
        assert!(history.pop(Path::new("/0"), b"").is_none());
    }

    #[test]
    fn what_commands_put_into_the_folder_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let planted = |number: u64, length: u64| {
            let head = Head { path: "/a".into(), length, after: 0 };
            let place = place(folder.path(), number);
            write(&place, &head, b"").unwrap();
            let file = File::options().write(true).open(place).unwrap();
            file.set_len(file.metadata().unwrap().len() + length).unwrap();
        };
        for number in 0..MOST as u64 + 500 {
            planted(number, 0);
        }
        planted(u64::MAX, 0);
        // As long as it says, with nothing in it.
        planted(2_000, 1 << 40);
        let mut history = History::new(folder.path().to_owned());
        assert!(history.versions().len() <= MOST);
        assert!(history.pop(Path::new("/a"), b"").unwrap().bytes.is_empty());
        history.push(Path::new("/b"), b"before", b"after").unwrap();
        assert_eq!(history.pop(Path::new("/b"), b"after").unwrap().bytes, b"before");
    }

    #[test]
    fn versions_outlive_the_tool_and_one_cut_by_a_crash_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let mut history = History::new(folder.path().to_owned());
        history.push(Path::new("/a"), b"first", b"second").unwrap();
        history.push(Path::new("/b"), b"whole", b"").unwrap();
        let cut = folder.path().join("0000000001");
        let bytes = std::fs::read(&cut).unwrap();
        std::fs::write(&cut, &bytes[..bytes.len() - 1]).unwrap();

        let mut history = History::new(folder.path().to_owned());
        assert!(history.pop(Path::new("/b"), b"").is_none());
        let earlier = history.pop(Path::new("/a"), b"second").unwrap();
        assert_eq!((earlier.bytes.as_slice(), earlier.changed_since), (&b"first"[..], false));
    }
}
