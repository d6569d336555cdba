//! Where the repository of a folder is. Git's own search would read the configuration that it finds, and refuses
//! repositories of other users.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tools::open::{self, Symlink};

/// A `.git` file and a `commondir` hold one path.
const LONGEST_LINK: u64 = 64 * 1024;

pub(super) enum Around {
    /// The folder is in a working tree.
    Tree(Tree),
    /// The folder is in a repository without a working tree, or in the `.git` of one.
    Bare,
    Nothing,
}

pub(super) struct Tree {
    /// The folder that holds `.git`.
    pub(super) top: PathBuf,
    /// Holds head and index.
    pub(super) git_dir: PathBuf,
    /// Holds what all working trees of a repository share.
    pub(super) common: PathBuf,
}

/// Searches upwards, but not into another file system, as git does.
///
/// # Errors
/// A `.git` file that leads nowhere.
pub(super) fn around(folder: &Path) -> io::Result<Around> {
    let Ok(device) = fs::metadata(folder).map(|folder| folder.dev()) else { return Ok(Around::Nothing) };
    let same_device = |folder: &&Path| fs::metadata(folder).is_ok_and(|folder| folder.dev() == device);
    for top in folder.ancestors().take_while(same_device) {
        if let Some(git_dir) = git_dir(top)? {
            let common = common(&git_dir)?;
            return Ok(Around::Tree(Tree { top: top.to_owned(), git_dir, common }));
        }
        if is_git_dir(top) {
            return Ok(Around::Bare);
        }
    }
    Ok(Around::Nothing)
}

/// What is at the folder that all working trees of a repository share, which need not be in one.
pub(super) fn shared(common: &Path) -> Option<Tree> {
    let folder = || common.to_owned();
    is_git_dir(common).then(|| Tree { top: folder(), git_dir: folder(), common: folder() })
}

/// The git folder of a working tree with this top.
fn git_dir(top: &Path) -> io::Result<Option<PathBuf>> {
    let path = top.join(".git");
    let Ok(found) = fs::metadata(&path) else { return Ok(None) };
    if found.is_dir() {
        return Ok(is_git_dir(&path).then_some(path));
    }
    if !found.is_file() {
        return Ok(None);
    }
    let link = open::content(&path, Symlink::Follow, LONGEST_LINK)?;
    let target = link.strip_prefix(b"gitdir: ").ok_or_else(|| broken(&path))?;
    let git_dir = top.join(as_path(target));
    if git_dir.join("HEAD").exists() { Ok(Some(git_dir)) } else { Err(broken(&path)) }
}

fn common(git_dir: &Path) -> io::Result<PathBuf> {
    match open::content(&git_dir.join("commondir"), Symlink::Follow, LONGEST_LINK) {
        // Not by way of the working tree, which others that are made from it outlive.
        Ok(link) => fs::canonicalize(git_dir.join(as_path(&link))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(git_dir.to_owned()),
        Err(error) => Err(error),
    }
}

fn is_git_dir(folder: &Path) -> bool {
    folder.join("HEAD").exists() && folder.join("objects").is_dir() && folder.join("refs").is_dir()
}

fn as_path(line: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(line.trim_ascii_end()))
}

fn broken(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("invalid gitfile: {}", path.display()))
}
