//! A file before and after.

use std::fs;
use std::io::{ErrorKind, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use ports::rpc::{Code, Fault};
use types::git::GitDiff;

use super::super::fault::{bad_request, of_file};
use super::base;
use super::changes::parent;
use super::program::Failure;
use super::repository::Repository;
use tools::open::{self, Opened, Symlink};

const LONGEST: u64 = 1_048_576;

/// Outside a repository both sides are `None`; a side that does not exist, or is no text, is empty. A path that
/// is on neither side is refused.
pub(super) async fn diff(
    path: &Path,
    reference: Option<&str>,
    commit: Option<&str>,
) -> Result<GitDiff, Fault> {
    if reference.is_some() && commit.is_some() {
        return Err(bad_request("ref and commit cannot be used together"));
    }
    let Some(repository) = Repository::of(&existing_folder(path)).await? else {
        return match commit {
            None => working(path).map(|_| GitDiff { modified: None, original: None }),
            Some(_) => Ok(GitDiff { modified: None, original: None }),
        };
    };
    let inside =
        path.strip_prefix(repository.top()).map_err(|_| bad_request("File is not in the repository"))?;
    if let Some(commit) = commit {
        let commit = repository.commit(commit).await?;
        let before = parent(&repository, &commit).await?;
        let (original, modified) =
            tokio::join!(stored(&repository, &before, inside), stored(&repository, &commit, inside));
        let side = |stored: Option<String>| Some(stored.unwrap_or_default());
        return Ok(GitDiff { modified: side(modified?), original: side(original?) });
    }
    let modified = working(path);
    let base = base::commit(&repository, reference).await?.tree(&repository).await?;
    let original = stored(&repository, &base, inside).await?;
    let modified = match modified {
        Err(_) if original.is_some() && is_gone(path) => String::new(),
        modified => modified?,
    };
    Ok(GitDiff { modified: Some(modified), original: Some(original.unwrap_or_default()) })
}

/// The folder of a file that may be gone with its folders.
fn existing_folder(path: &Path) -> PathBuf {
    path.ancestors().skip(1).find(|folder| folder.is_dir()).unwrap_or(Path::new("/")).to_owned()
}

/// Whether nothing is there: also where one of its folders has become a file.
fn is_gone(path: &Path) -> bool {
    fs::symlink_metadata(path)
        .is_err_and(|error| matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory))
}

/// The file as it is. To git the content of a symlink is where it leads.
fn working(path: &Path) -> Result<String, Fault> {
    let failed = |error: std::io::Error| match of_file(&error, "File not found") {
        missing if missing.code == Code::NotFound => bad_request(missing.public),
        fault => fault,
    };
    let found = fs::symlink_metadata(path).map_err(failed)?;
    if found.is_symlink() {
        return Ok(text(fs::read_link(path).map_err(failed)?.into_os_string().as_bytes().to_vec()));
    }
    let Opened::File(file) = open::path(path, Symlink::Refuse).map_err(failed)? else {
        return Err(bad_request("Path is not a file"));
    };
    let mut bytes = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > LONGEST {
        return Err(too_long());
    }
    Ok(text(bytes))
}

/// The file in a tree that is known to exist, if it is a file there.
async fn stored(repository: &Repository, tree: &str, inside: &Path) -> Result<Option<String>, Fault> {
    let mut name = std::ffi::OsString::from(format!("{tree}:"));
    name.push(inside);
    let blob = repository.git(["cat-file", "blob"]).args([name]).longest(LONGEST).output().await;
    match blob {
        Ok(bytes) => Ok(Some(text(bytes))),
        Err(Failure::Refused { .. }) => Ok(None),
        Err(Failure::TooLong(_)) => Err(too_long()),
        Err(failure) => Err(failure.into()),
    }
}

fn text(bytes: Vec<u8>) -> String {
    if bytes.contains(&0) { String::new() } else { String::from_utf8(bytes).unwrap_or_default() }
}

fn too_long() -> Fault {
    bad_request(format!("File is larger than {LONGEST} bytes"))
}
