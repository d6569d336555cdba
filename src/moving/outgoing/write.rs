//! Files that are whole or not there, and nobody else's.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use serde_json::Value;

/// # Errors
/// Those of the system.
pub fn folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Writes a file into a folder that is there, unless it has this content.
///
/// # Errors
/// Those of the system.
pub fn file(path: &Path, content: &[u8]) -> io::Result<()> {
    if std::fs::read(path).is_ok_and(|there| there == content) {
        return Ok(());
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let draft = path.with_file_name(format!(".{name}.new"));
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    file.write_all(content)?;
    std::fs::rename(draft, path)
}

/// The same of JSON that people may look at.
///
/// # Errors
/// Those of the system.
pub fn json(path: &Path, value: &Value) -> io::Result<()> {
    let mut text = serde_json::to_vec_pretty(value)?;
    text.push(b'\n');
    file(path, &text)
}

/// Whether a name can be that of a file, and of none that is hidden or elsewhere.
pub fn is_name(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_. ".contains(c);
    (1..=128).contains(&name.len()) && !name.starts_with('.') && name.chars().all(is_plain)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_its_owners_alone_and_is_replaced_whole() {
        let dir = tempfile::tempdir().unwrap();
        let inside = dir.path().join("a/b");
        folder(&inside).unwrap();
        for content in [b"one".as_slice(), b"other", b"other"] {
            file(&inside.join("f"), content).unwrap();
            assert_eq!(std::fs::read(inside.join("f")).unwrap(), content);
        }
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&inside.join("f")), mode(&inside)), (0o600, 0o700));
        assert_eq!(std::fs::read_dir(&inside).unwrap().count(), 1);
    }

    #[test]
    fn names_that_lead_elsewhere_are_none() {
        assert!(is_name("own profile-1.x"));
        for other in ["", ".", "..", ".hidden", "a/b", "a\0b", &"a".repeat(129)] {
            assert!(!is_name(other), "{other}");
        }
    }
}
