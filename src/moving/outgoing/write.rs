//! Files that are whole or not there, and nobody else's.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use tools::open::{self, Symlink};

use crate::moving::{files, folder};

/// Writes a file, unless it has this content. Folders below `root` that are missing are made; no link below it is followed.
/// It outlives the machine when [`sync`] has returned.
///
/// # Errors
/// Those of the system.
pub fn file(root: &Path, inside: &str, content: &[u8]) -> io::Result<()> {
    let (above, name) = inside.rsplit_once('/').unwrap_or(("", inside));
    let folder = folder::make(root, above)?;
    let path = folder.join(name);
    let there = open::content(&path, Symlink::Refuse, content.len() as u64);
    if there.is_ok_and(|there| there == content) {
        return Ok(());
    }
    let draft = folder.join(format!(".{name}.new"));
    files::remove(&draft)?;
    open::fresh(&draft, 0o600)?.write_all(content)?;
    std::fs::rename(draft, path)
}

/// # Errors
/// Those of the system.
pub fn sync(root: &Path) -> io::Result<()> {
    Ok(rustix::fs::syncfs(File::open(root)?)?)
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
        for content in [b"one".as_slice(), b"other", b"other"] {
            file(dir.path(), "a/b/f", content).unwrap();
            assert_eq!(std::fs::read(inside.join("f")).unwrap(), content);
        }
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&inside.join("f")), mode(&inside)), (0o600, 0o700));
        assert_eq!(std::fs::read_dir(&inside).unwrap().count(), 1);
    }

    #[test]
    fn nothing_is_written_through_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (root, elsewhere) = (dir.path().join("root"), dir.path().join("elsewhere"));
        for folder in [&root, &elsewhere] {
            std::fs::create_dir(folder).unwrap();
        }
        std::fs::write(elsewhere.join("f"), "theirs").unwrap();
        std::os::unix::fs::symlink(&elsewhere, root.join("a")).unwrap();
        assert!(file(&root, "a/f", b"ours").is_err());
        std::os::unix::fs::symlink(elsewhere.join("f"), root.join(".f.new")).unwrap();
        file(&root, "f", b"ours").unwrap();
        assert_eq!(std::fs::read(elsewhere.join("f")).unwrap(), b"theirs");
        assert_eq!(std::fs::read(root.join("f")).unwrap(), b"ours");
    }

    #[test]
    fn names_that_lead_elsewhere_are_none() {
        assert!(is_name("own profile-1.x"));
        for other in ["", ".", "..", ".hidden", "a/b", "a\0b", &"a".repeat(129)] {
            assert!(!is_name(other), "{other}");
        }
    }
}
