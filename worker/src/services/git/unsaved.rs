//! What would be lost with a working tree: everything in it that is in no branch.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::changes::NOT_INTO_SUBMODULES;
use super::program::{Failure, parts};
use super::repository::Repository;
use super::view::was_cut_off;

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
    if was_cut_off(root) || names(root).is_ok_and(|names| names.is_empty()) {
        return Ok(false);
    }
    // It may have lost what makes it one, and be in another.
    let repository = Repository::of(root).await?.filter(|repository| repository.top() == root);
    let Some(repository) = repository else { return Ok(true) };
    Ok(is_changed(&repository).await? || !is_in_a_branch(&repository).await?)
}

/// A file that is gone is nothing more that could be lost.
async fn is_changed(repository: &Repository) -> Result<bool, Failure> {
    let ask = ["status", "--porcelain", "-z", "--untracked-files=normal", NOT_INTO_SUBMODULES];
    let changes = parts(&repository.git_at_top(ask).output().await?);
    Ok(changes.iter().any(|change| !change.starts_with("D ") && !change.starts_with(" D")))
}

async fn is_in_a_branch(repository: &Repository) -> Result<bool, Failure> {
    let (None, Some(head)) = (&repository.branch, &repository.head) else { return Ok(true) };
    let contains = format!("--contains={head}");
    let ask = ["for-each-ref", "--count=1", &contains, "refs/heads", "refs/remotes", "refs/tags"];
    Ok(!repository.git_at_top(ask).output().await?.is_empty())
}

fn names(folder: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect()
}
