//! Reading folders of another server: up to a bound, and following no link.

use std::io::{self, ErrorKind};
use std::path::Path;

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
    Io(io::Error),
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

/// A text file of at most `most` bytes.
///
/// # Errors
/// Why it is left out.
pub fn text(path: &Path, most: u64) -> Result<String, Unread> {
    let bytes = open::content(path, Symlink::Refuse, most).map_err(|error| Unread::of(error, most))?;
    String::from_utf8(bytes).map_err(|_| Unread::NoText)
}

/// The names in a folder, sorted; none where there is no folder. Names that are no text are left out.
///
/// # Errors
/// Why they are left out.
pub fn names(folder: &Path) -> Result<Vec<String>, Unread> {
    match folder.symlink_metadata() {
        Ok(found) if found.is_dir() => {}
        Ok(_) => return Err(Unread::NoFile),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Unread::Io(error)),
    }
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
        assert_eq!(text(&at("a"), 4).unwrap(), "text");
        assert!(matches!(text(&at("a"), 3), Err(Unread::TooLarge(3))));
        assert!(matches!(text(&at("link"), 4), Err(Unread::NoFile)));
        assert!(matches!(text(&at("huge"), 1 << 20), Err(Unread::TooLarge(_))));
        assert!(matches!(text(&at("bytes"), 4), Err(Unread::NoText)));
        assert!(matches!(text(&at("none"), 4), Err(Unread::Missing)));
        assert!(matches!(names(&at("folder")), Err(Unread::NoFile)));
        assert_eq!(names(dir.path()).unwrap(), ["a", "bytes", "folder", "huge", "link"]);
        assert_eq!(names(&at("none")).unwrap(), Vec::<String>::new());
        assert!(is_folder(dir.path()) && !is_folder(&at("folder")));
    }
}
