//! Which files of a folder do not count, by `.gitignore` and `.ignore`.
//!
//! They are read as agents' files are, by [`open`]: one that is a pipe must keep nobody.

use std::path::Path;
use std::sync::Arc;

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::open::{self, Symlink};

/// Bytes of a file of rules. A longer one says nothing.
const LONGEST: u64 = 256 * 1024;
const MOST_LINES: usize = 4_000;

/// Those of a folder, and of those that it lies in.
pub struct Rules {
    any: Gitignore,
    git: Gitignore,
    is_repository: bool,
    is_in_repository: bool,
    above: Option<Arc<Self>>,
}

impl Rules {
    /// Of what lies above `folder`.
    pub fn above(folder: &Path) -> Option<Arc<Self>> {
        let mut ancestors: Vec<&Path> = folder.ancestors().skip(1).collect();
        ancestors.reverse();
        ancestors.into_iter().fold(None, |above, folder| Self::of(folder, above))
    }

    /// Of `folder`, where it has any; otherwise they are those above.
    pub fn of(folder: &Path, above: Option<Arc<Self>>) -> Option<Arc<Self>> {
        let is_repository = folder.join(".git").symlink_metadata().is_ok();
        let any = read(folder, &[".ignore"]);
        // What comes later is stronger.
        let git = match is_repository {
            true => read(folder, &[".git/info/exclude", ".gitignore"]),
            false => read(folder, &[".gitignore"]),
        };
        if !is_repository && any.is_empty() && git.is_empty() {
            return above;
        }
        let is_in_repository = is_repository || above.as_ref().is_some_and(|above| above.is_in_repository);
        Some(Arc::new(Self { any, git, is_repository, is_in_repository, above }))
    }

    /// Whether they say that what is at `path` does not count.
    pub fn leave_out(&self, path: &Path, is_folder: bool) -> bool {
        if let Some(decided) = self.levels().find_map(|level| decided(&level.any, path, is_folder)) {
            return decided;
        }
        if !self.is_in_repository {
            return false;
        }
        for level in self.levels() {
            if let Some(decided) = decided(&level.git, path, is_folder) {
                return decided;
            }
            // What is above a repository says nothing in it.
            if level.is_repository {
                break;
            }
        }
        false
    }

    fn levels(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |level| level.above.as_deref())
    }
}

fn decided(rules: &Gitignore, path: &Path, is_folder: bool) -> Option<bool> {
    match rules.matched(path, is_folder) {
        Match::None => None,
        Match::Ignore(_) => Some(true),
        Match::Whitelist(_) => Some(false),
    }
}

fn read(folder: &Path, names: &[&str]) -> Gitignore {
    let mut builder = GitignoreBuilder::new(folder);
    let mut is_empty = true;
    for name in names {
        let Ok(bytes) = open::content(&folder.join(name), Symlink::Follow, LONGEST) else { continue };
        let text = String::from_utf8_lossy(&bytes);
        for line in text.trim_start_matches('\u{feff}').lines().take(MOST_LINES) {
            // A line that is no pattern says nothing.
            is_empty &= builder.add_line(None, line).is_err();
        }
    }
    if is_empty { Gitignore::empty() } else { builder.build().unwrap_or_else(|_| Gitignore::empty()) }
}
