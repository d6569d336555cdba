//! What would be lost with a working tree: everything in it that is in no branch. Where git does not say so simply, it is taken to
//! be: in submodules, in files that git is told not to look at, and in those that it ignores.
//!
//! Commits may be the tree's alone, too. Its own part of the repository goes with it: where it has stood before, and what else
//! git notes of a tree that is at work (a merge, say, or references that no other tree sees).

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::program::{Failure, parts};
use super::repository::Repository;

/// Whether anything would be lost with the folder that is a place. What cannot be read would be.
pub(super) async fn is_in(place: &Path) -> bool {
    match fs::symlink_metadata(place) {
        Err(error) => return error.kind() != io::ErrorKind::NotFound,
        // A link goes without what it leads to.
        Ok(found) if !found.is_dir() => return false,
        Ok(_) => {}
    }
    let Ok(names) = names(place) else { return true };
    match &names[..] {
        [] => false,
        [root] => is_in_tree(root).await.unwrap_or(true),
        _ => true,
    }
}

async fn is_in_tree(root: &Path) -> Result<bool, Failure> {
    // It may have lost what makes it one, and be in another.
    let repository = Repository::of(root).await?.filter(|repository| repository.top() == root);
    let Some(repository) = repository else { return Ok(true) };
    let is_on_a_branch = repository.branch.as_ref().is_some_and(|branch| branch.starts_with("refs/heads/"));
    Ok(!is_on_a_branch
        || !is_at_rest(&repository)
        || !is_plain(&repository).await?
        || is_changed(&repository).await?
        || has_commits_of_its_own(&repository).await?)
}

/// Whether git notes nothing of this tree but what it does of each: no submodules, no merge, and no references but HEAD.
fn is_at_rest(repository: &Repository) -> bool {
    const OF_EACH: [&str; 10] = [
        "HEAD",
        "ORIG_HEAD",
        "FETCH_HEAD",
        "COMMIT_EDITMSG",
        "index",
        "logs",
        "refs",
        "commondir",
        "gitdir",
        "locked",
    ];
    let is_of_each = |path: &PathBuf| {
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        OF_EACH.contains(&name) && (name != "refs" || names(path).is_ok_and(|refs| refs.is_empty()))
    };
    names(repository.own()).is_ok_and(|names| names.iter().all(is_of_each))
}

/// Whether it has stood on a commit that is in no branch.
async fn has_commits_of_its_own(repository: &Repository) -> Result<bool, Failure> {
    let mut stood = repository.git_at_top(["reflog", "show", "--format=%H", "HEAD"]).output().await?;
    if fs::symlink_metadata(repository.own().join("ORIG_HEAD")).is_ok() {
        stood.extend(b"ORIG_HEAD\n");
    }
    let ask =
        ["rev-list", "--max-count=1", "--ignore-missing", "--stdin", "--not", "--branches", "--remotes"];
    Ok(!repository.git_at_top(ask).input(stood).output().await?.is_empty())
}

/// Whether git looks at all that is to be there: nothing is a submodule, or has a flag by which changes of it stay unseen.
async fn is_plain(repository: &Repository) -> Result<bool, Failure> {
    let files = parts(&repository.git_at_top(["ls-files", "-z", "--stage", "-v"]).output().await?);
    Ok(files.iter().all(|file| file.starts_with("H 1") && !file.starts_with("H 160000 ")))
}

/// A file that is gone is nothing more that could be lost.
async fn is_changed(repository: &Repository) -> Result<bool, Failure> {
    let ask =
        ["status", "--porcelain", "-z", "--no-renames", "--untracked-files=normal", "--ignored=matching"];
    let changes = parts(&repository.git_at_top(ask).output().await?);
    Ok(changes.iter().any(|change| !change.starts_with("D ") && !change.starts_with(" D")))
}

fn names(folder: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect()
}
