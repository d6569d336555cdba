//! Which conversations and paths share a sandbox.

use std::path::{Component, Path, PathBuf};

/// Which conversations and paths share a sandbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// All of a tenant.
    #[default]
    Shared,
    /// All of one directory below the workspaces root.
    Workspace,
    /// None: each conversation has its own, and what names no conversation is in the tenant's default.
    Conversation,
}

/// What stands for everything that has no place of its own.
pub(super) const DEFAULT: &str = "default";

/// What a sandbox stands for within its tenant.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place<'a> {
    /// A directory by its name, or [`DEFAULT`].
    Path(&'a str),
    /// A conversation by its id in hex.
    Conversation(&'a str),
}

impl<'a> Place<'a> {
    pub(super) const fn name(self) -> &'a str {
        match self {
            Self::Path(name) | Self::Conversation(name) => name,
        }
    }

    /// Whether it is a directory that has a sandbox of its own.
    pub(super) fn is_directory(self) -> bool {
        matches!(self, Self::Path(name) if name != DEFAULT)
    }
}

/// The place of an absolute path within its tenant.
pub(super) fn place_of(policy: Policy, root: &Path, path: &str) -> String {
    match policy {
        Policy::Shared | Policy::Conversation => DEFAULT.to_owned(),
        Policy::Workspace => below(root, Path::new(path)).unwrap_or_else(|| DEFAULT.to_owned()),
    }
}

/// The folder of the working trees that are made of the repository at a path: what lies in it has the same place. `None`: the
/// path is not below the root, and neither may that folder be.
pub(super) fn worktrees_of(policy: Policy, root: &Path, path: &str) -> Option<PathBuf> {
    let first = below(root, Path::new(path))?;
    let folder = match policy {
        Policy::Workspace => root.join(first),
        Policy::Shared | Policy::Conversation => root.to_owned(),
    };
    Some(folder.join(".worktrees"))
}

/// The first name below `root` on the way to `path`, `.` and `..` resolved by name alone.
fn below(root: &Path, path: &Path) -> Option<String> {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => names.push(name),
            Component::ParentDir => drop(names.pop()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    let mut names = path.is_absolute().then_some(names)?.into_iter();
    for component in root.components() {
        if let Component::Normal(wanted) = component
            && names.next() != Some(wanted)
        {
            return None;
        }
    }
    names.next().map(|name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_directory_below_the_root_names_the_place() {
        let place = |path| place_of(Policy::Workspace, Path::new("/workspace/"), path);
        for path in ["/workspace/a", "/workspace/a/b/c.txt", "/workspace/b/../a/x", "/workspace//./a"] {
            assert_eq!(place(path), "a", "{path}");
        }
        for path in
            ["", "a", "/", "/tmp/a", "/workspace", "/workspaces/a", "/workspace/a/../..", "workspace/a"]
        {
            assert_eq!(place(path), DEFAULT, "{path}");
        }
    }

    #[test]
    fn a_working_tree_has_the_place_of_its_repository() {
        let root = Path::new("/workspace");
        for policy in [Policy::Shared, Policy::Workspace, Policy::Conversation] {
            for path in ["/workspace/a", "/workspace/a/b", "/workspace/b/../a/x"] {
                let folder = worktrees_of(policy, root, path).unwrap().join("id/a");
                let folder = folder.to_str().unwrap();
                assert_eq!(place_of(policy, root, folder), place_of(policy, root, path), "{path}");
            }
            assert_eq!(worktrees_of(policy, root, "/tmp/a"), None);
        }
    }

    #[test]
    fn without_places_of_their_own_all_paths_are_in_the_default() {
        for policy in [Policy::Shared, Policy::Conversation] {
            assert_eq!(place_of(policy, Path::new("/workspace"), "/workspace/a"), DEFAULT);
        }
    }
}
