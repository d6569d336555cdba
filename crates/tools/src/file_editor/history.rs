//! What files held before their edits, bounded in number and bytes.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

const PER_FILE: usize = 10;
const MAX_BYTES: usize = 32 * 1024 * 1024;

/// Oldest first, all files together.
#[derive(Default)]
pub struct History {
    versions: VecDeque<Version>,
    bytes: usize,
}

struct Version {
    path: PathBuf,
    before: Vec<u8>,
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
    pub fn push(&mut self, path: &Path, before: Vec<u8>, after: &[u8]) {
        self.bytes += before.len();
        self.versions.push_back(Version { path: path.to_owned(), before, after: fingerprint(after) });
        if self.versions.iter().filter(|version| version.path == path).count() > PER_FILE {
            self.forget_oldest(|version| version.path == path);
        }
        while self.bytes > MAX_BYTES {
            self.forget_oldest(|_| true);
        }
    }

    pub fn pop(&mut self, path: &Path, current: &[u8]) -> Option<Earlier> {
        let position = self.versions.iter().rposition(|version| version.path == path)?;
        let version = self.versions.remove(position)?;
        self.bytes -= version.before.len();
        Some(Earlier { bytes: version.before, changed_since: version.after != fingerprint(current) })
    }

    fn forget_oldest(&mut self, wanted: impl Fn(&Version) -> bool) {
        if let Some(position) = self.versions.iter().position(wanted)
            && let Some(version) = self.versions.remove(position)
        {
            self.bytes -= version.before.len();
        }
    }
}

fn fingerprint(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ten_last_versions_of_each_file_are_kept() {
        let mut history = History::default();
        let (one, two) = (Path::new("/one"), Path::new("/two"));
        history.push(two, b"kept".to_vec(), b"");
        for version in 0..15u8 {
            history.push(one, vec![version], &[version + 1]);
        }
        for version in (5..15u8).rev() {
            assert_eq!(history.pop(one, b"").map(|earlier| earlier.bytes), Some(vec![version]));
        }
        assert!(history.pop(one, b"").is_none());
        assert!(!history.pop(two, b"").unwrap().changed_since);
        assert_eq!(history.bytes, 0);
    }

    #[test]
    fn large_versions_do_not_pile_up() {
        let mut history = History::default();
        for file in 0..10 {
            history.push(Path::new(&format!("/{file}")), vec![0; MAX_BYTES / 3], b"");
        }
        assert!(history.bytes <= MAX_BYTES);
        assert!(history.pop(Path::new("/9"), b"").is_some());
        assert!(history.pop(Path::new("/0"), b"").is_none());
    }
}
