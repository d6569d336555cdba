//! What would be lost with a working tree: everything in it that is in no branch. Where git does not say so simply, it is taken to
//! be: in submodules, in files that git is told not to look at, and in those that it ignores.

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
    let is_on_its_branch = repository.branch.is_some();
    Ok(!is_on_its_branch
        || has_submodules(&repository)
        || !is_plain(&repository).await?
        || is_changed(&repository).await?)
}

/// Of a submodule that another commit has, too.
fn has_submodules(repository: &Repository) -> bool {
    fs::symlink_metadata(repository.own().join("modules")).is_ok()
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
