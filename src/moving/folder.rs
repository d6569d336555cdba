//! Folders of another server: read up to a bound, and written into, following no link below their root.

use std::fs::DirBuilder;
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use tools::open::{self, Symlink};

/// Names of one folder.
const MOST_NAMES: usize = 2_000_000;

/// Why something is left out.
#[derive(Debug, thiserror::Error)]
pub enum Unread {
    #[error("it is not there")]
    Missing,
    #[error("it is a link or a special file, which is not followed")]
    NoFile,
    #[error("it has more than {0} bytes")]
    TooLarge(u64),
    #[error("it has more names than are read")]
    TooMany,
    #[error("it is no text")]
    NoText,
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
}

impl Unread {
    fn of(error: io::Error, most: u64) -> Self {
        match error.kind() {
            ErrorKind::NotFound => Self::Missing,
            ErrorKind::InvalidInput => Self::NoFile,
            ErrorKind::FileTooLarge => Self::TooLarge(most),
            _ => Self::Io(error),
        }
    }
}

/// The path `inside` of a folder, where all above it, the folder too, are folders and none a link to one.
///
/// # Errors
/// One is missing, or is something else.
pub fn below(root: &Path, inside: &str) -> Result<PathBuf, Unread> {
    let mut path = root.to_owned();
    for part in Path::new(inside) {
        look(&path)?;
        path.push(part);
    }
    Ok(path)
}

fn look(folder: &Path) -> Result<(), Unread> {
    match folder.symlink_metadata() {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(Unread::NoFile),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(Unread::Missing),
        Err(error) => Err(Unread::Io(error)),
    }
}

/// A text file of at most `most` bytes.
///
/// # Errors
/// Why it is left out.
pub fn text(root: &Path, inside: &str, most: u64) -> Result<String, Unread> {
    let path = below(root, inside)?;
    let bytes = open::content(&path, Symlink::Refuse, most).map_err(|error| Unread::of(error, most))?;
    String::from_utf8(bytes).map_err(|_| Unread::NoText)
}

/// The names in a folder, sorted; none where there is no folder. Names that are no text are left out. `inside` may be empty.
///
/// # Errors
/// Why they are left out.
pub fn names(root: &Path, inside: &str) -> Result<Vec<String>, Unread> {
    let found = below(root, inside).and_then(|folder| look(&folder).map(|()| folder));
    let folder = match found {
        Ok(folder) => folder,
        Err(Unread::Missing) => return Ok(Vec::new()),
        Err(why) => return Err(why),
    };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Unread::Io)? {
        let entry = entry.map_err(Unread::Io)?;
        if names.len() >= MOST_NAMES {
            return Err(Unread::TooMany);
        }
        names.extend(entry.file_name().into_string());
    }
    names.sort();
    Ok(names)
}

/// Makes the folders of `inside` that are missing, for their owner alone; `root` as well, wherever that leads.
///
/// # Errors
/// Those of the system; one of them is something else.
pub fn make(root: &Path, inside: &str) -> io::Result<PathBuf> {
    DirBuilder::new().recursive(true).mode(0o700).create(root)?;
    let mut path = root.to_owned();
    for part in Path::new(inside) {
        path.push(part);
        match look(&path) {
            Ok(()) => {}
            Err(Unread::Missing) => DirBuilder::new().mode(0o700).create(&path)?,
            Err(why) => return Err(io::Error::other(format!("{}: {why}", path.display()))),
        }
    }
    Ok(path)
}

/// Whether it is a folder itself, and no link to one.
pub fn is_folder(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|found| found.is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_link_is_followed_and_no_large_file_is_read_whole() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("a"), "text").unwrap();
        std::os::unix::fs::symlink(at("a"), at("link")).unwrap();
        std::os::unix::fs::symlink(dir.path(), at("folder")).unwrap();
        let huge = std::fs::File::create(at("huge")).unwrap();
        huge.set_len(2 << 30).unwrap();
        std::fs::write(at("bytes"), [0xff]).unwrap();
        let root = dir.path();
        assert_eq!(text(root, "a", 4).unwrap(), "text");
        assert!(matches!(text(root, "a", 3), Err(Unread::TooLarge(3))));
        assert!(matches!(text(root, "link", 4), Err(Unread::NoFile)));
        assert!(matches!(text(root, "folder/a", 4), Err(Unread::NoFile)), "a link on the way");
        assert!(matches!(text(&at("folder"), "a", 4), Err(Unread::NoFile)), "a link at its beginning");
        assert!(matches!(text(root, "huge", 1 << 20), Err(Unread::TooLarge(_))));
        assert!(matches!(text(root, "bytes", 4), Err(Unread::NoText)));
        assert!(matches!(text(root, "none/at/all", 4), Err(Unread::Missing)));
        assert!(matches!(names(root, "folder"), Err(Unread::NoFile)));
        assert_eq!(names(root, "").unwrap(), ["a", "bytes", "folder", "huge", "link"]);
        assert_eq!(names(root, "none").unwrap(), Vec::<String>::new());
        assert!(make(root, "folder/new").is_err() && !at("new").exists());
        assert!(make(root, "b/c").unwrap().is_dir() && make(root, "b/c").is_ok());
        assert!(is_folder(dir.path()) && !is_folder(&at("folder")));
    }
}
