//! Paths: what they lead to, whether that is inside a conversation's workspace, and how to get there without
//! being led elsewhere on the way.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::path::{Component, Path, PathBuf};

use ports::rpc::{Code, Fault};
use rustix::io::Errno;
use tools::folder::Folder;
use tools::hands;
use types::calls::Scope;

use super::fault::{bad_request, of_file};

/// As many symlinks as Linux follows in one path.
const MOST_SYMLINKS: usize = 40;

/// The path with symlinks and `..` resolved, if it may be used: absolute, and inside the scope's workspace.
/// What does not exist yet is taken as it is written.
pub(super) fn within(scope: &Scope, path: &Path) -> Result<PathBuf, Fault> {
    check_in(scope, path)?;
    let resolved = resolve(path).map_err(|error| of_file(&error, "File not found"))?;
    if resolved.starts_with(root(scope)?) {
        return Ok(resolved);
    }
    Err(outside())
}

/// As [`check`], where a relative path of a conversation is one that is not inside its workspace.
pub(super) fn check_in(scope: &Scope, path: &Path) -> Result<(), Fault> {
    match scope.workspace.is_some() && !path.is_absolute() {
        true => Err(outside()),
        false => check(path),
    }
}

/// # Errors
/// `BadRequest` for a relative path or one that no file can have.
pub(super) fn check(path: &Path) -> Result<(), Fault> {
    if !path.is_absolute() {
        return Err(bad_request("Path must be absolute"));
    }
    if path.as_os_str().as_encoded_bytes().contains(&0) {
        return Err(bad_request("Path must not contain NUL bytes"));
    }
    Ok(())
}

/// A name in an open folder.
pub(super) struct FolderEntry {
    pub(super) folder: Folder,
    pub(super) name: OsString,
    pub(super) path: PathBuf,
}

/// What to do about folders on the way that are missing.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Missing {
    Fail,
    Make,
}

impl FolderEntry {
    /// Goes to `path` folder by folder and follows no symlink that appears on the way meanwhile. `None` is the
    /// root of the scope, which is in no folder of it. Where something is to be made, a link leads only into folders of the agent's
    /// user, who may have put it there.
    pub(super) fn of(scope: &Scope, path: &Path, missing: Missing) -> Result<Option<Self>, Fault> {
        let resolved = within(scope, path)?;
        if let Some(workspace) = scope.workspace.as_ref().filter(|_| missing == Missing::Make) {
            // By its name: where its links lead may be nobody's to give away. The walk says what is missing then.
            let _ = hands::make_folders(&Path::new("/").join(&workspace.root));
        }
        let root = root(scope)?;
        let inside = resolved.strip_prefix(&root).map_err(|_| outside())?.to_owned();
        let (Some(parent), Some(name)) = (inside.parent(), inside.file_name()) else {
            return Ok(None);
        };
        let makes = match missing {
            Missing::Fail => Makes::Nothing,
            Missing::Make if path.components().eq(resolved.components()) => Makes::Anywhere,
            Missing::Make => Makes::WhatIsTheUsers,
        };
        let folder = walk(&root, parent, makes).map_err(|error| of_file(&error, "File not found"))?;
        Ok(Some(Self { folder, name: name.to_owned(), path: resolved }))
    }
}

/// Where something may be made.
#[derive(Clone, Copy, PartialEq)]
enum Makes {
    Nothing,
    Anywhere,
    WhatIsTheUsers,
}

/// Opens the folder `inside` a `root` that has no symlinks.
fn walk(root: &Path, inside: &Path, makes: Makes) -> io::Result<Folder> {
    let mut folder = Folder::open(root)?;
    for name in inside {
        let next = match folder.enter(name) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && makes != Makes::Nothing => {
                check_owner(&folder, makes)?;
                folder.enter_or_make(name)?
            }
            entered => entered?,
        };
        folder = next;
    }
    check_owner(&folder, makes)?;
    Ok(folder)
}

fn check_owner(folder: &Folder, makes: Makes) -> io::Result<()> {
    match makes != Makes::WhatIsTheUsers || folder.is_users()? {
        true => Ok(()),
        false => Err(Errno::ACCESS.into()),
    }
}

fn root(scope: &Scope) -> Result<PathBuf, Fault> {
    let Some(workspace) = &scope.workspace else { return Ok(PathBuf::from("/")) };
    resolve(Path::new(&workspace.root)).map_err(Fault::internal)
}

fn outside() -> Fault {
    Fault::new(Code::Invalid, "path must be inside the conversation workspace")
}

/// Follows every symlink of an absolute path, also where the end does not exist.
fn resolve(path: &Path) -> io::Result<PathBuf> {
    let mut ahead: VecDeque<OsString> = parts(path).collect();
    let (mut at, mut symlinks) = (PathBuf::from("/"), 0);
    while let Some(part) = ahead.pop_front() {
        if part == ".." {
            at.pop();
            continue;
        }
        at.push(&part);
        let Ok(target) = std::fs::read_link(&at) else { continue };
        symlinks += 1;
        if symlinks > MOST_SYMLINKS {
            return Err(Errno::LOOP.into());
        }
        at.pop();
        if target.is_absolute() {
            at = PathBuf::from("/");
        }
        for part in parts(&target).collect::<Vec<_>>().into_iter().rev() {
            ahead.push_front(part);
        }
    }
    Ok(at)
}

fn parts(path: &Path) -> impl Iterator<Item = OsString> {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
}
