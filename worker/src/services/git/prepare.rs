//! New repositories. Starting git takes longer than all else in making a conversation, so it is asked once what
//! a new repository looks like here, with the user's settings and templates; the next ones are copies.

use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use ports::rpc::Fault;
use tokio::sync::OnceCell;
use tools::folder::Folder;
use tools::hands;
use tools::open::{self, Symlink};
use uuid::Uuid;

use super::super::fault::of_file;
use super::find::{self, Around};
use super::program::Git;

/// How deep a new repository may be, and what it may hold; bytes are those of one file.
const DEEPEST: usize = 16;
const MOST_ITEMS: usize = 1_000;
const LONGEST: u64 = 1024 * 1024;

pub(in super::super) struct Template {
    items: OnceCell<Vec<Item>>,
    /// Otherwise there are the folders alone.
    is_used: bool,
}

enum Item {
    Folder(PathBuf),
    File {
        path: PathBuf,
        content: Vec<u8>,
        mode: u32,
    },
    /// As git has made it: where it leads is not looked at.
    Link {
        path: PathBuf,
        target: PathBuf,
    },
}

impl Template {
    /// `is_used`: whether repositories are made.
    pub(in super::super) fn new(is_used: bool) -> Self {
        Self { items: OnceCell::new(), is_used }
    }

    /// Makes `folder`, and a repository in it unless it is in one. Without git there is only the folder. Blocks.
    pub(super) async fn prepare(&self, folder: &Path) -> Result<(), Fault> {
        let failed = |error: io::Error| of_file(&error, "Path not found");
        hands::make_folders(folder).map_err(failed)?;
        if !self.is_used || !matches!(find::around(folder).map_err(failed)?, Around::Nothing) {
            return Ok(());
        }
        match self.items.get_or_try_init(look_like).await {
            Ok(items) => copy(items, folder).map_err(failed),
            Err(error) => {
                tracing::warn!(%error, "no repository is made, as git does not make one");
                Ok(())
            }
        }
    }
}

/// Lets git make a repository in a temporary folder.
async fn look_like() -> io::Result<Vec<Item>> {
    let folder = std::env::temp_dir().join(format!("manyhands-init-{}", Uuid::new_v4().simple()));
    fs::create_dir(&folder)?;
    hands::give_path(&folder)?;
    let made = Git::as_user(&folder).args(["init", "--quiet"]).output().await;
    let mut items = Vec::new();
    let read = made
        .map_err(io::Error::other)
        .and_then(|_| read(&folder.join(".git"), Path::new(""), DEEPEST, &mut items));
    trees::remove(&folder)?;
    read.map(|()| items)
}

/// The user's template may hold anything, and so may what git has made of it.
fn read(root: &Path, inside: &Path, levels: usize, items: &mut Vec<Item>) -> io::Result<()> {
    for entry in fs::read_dir(root.join(inside))? {
        if levels == 0 || items.len() >= MOST_ITEMS {
            return Err(io::Error::other("the template of repositories is too large"));
        }
        let entry = entry?;
        let path = inside.join(entry.file_name());
        // Samples of hooks do nothing.
        if path.extension().is_some_and(|extension| extension == "sample") {
            continue;
        }
        let kind = entry.file_type()?;
        if kind.is_dir() {
            items.push(Item::Folder(path.clone()));
            read(root, &path, levels - 1, items)?;
        } else if kind.is_symlink() {
            items.push(Item::Link { target: fs::read_link(root.join(&path))?, path });
        } else if kind.is_file() {
            let mode = entry.metadata()?.permissions().mode();
            let content = open::content(&root.join(&path), Symlink::Refuse, LONGEST)?;
            items.push(Item::File { content, path, mode });
        }
    }
    Ok(())
}

/// Written beside and renamed, so that nobody meets half a repository.
fn copy(items: &[Item], at: &Path) -> io::Result<()> {
    let folder = Folder::open(at)?;
    let name = format!(".git-{}", Uuid::new_v4().simple());
    let unfinished = folder.fresh(name.as_ref())?;
    let path = folder.path().join(name);
    let written = write(items, &unfinished).and_then(|()| fs::rename(&path, folder.path().join(".git")));
    let Err(error) = written else { return Ok(()) };
    let _ = trees::remove(&path);
    // Somebody was faster.
    if matches!(find::around(at), Ok(Around::Tree(_))) { Ok(()) } else { Err(error) }
}

/// Nothing is the user's before it is whole: he could put links in the place of folders that are written to.
fn write(items: &[Item], folder: &Folder) -> io::Result<()> {
    let root = folder.path();
    for item in items {
        match item {
            Item::Folder(path) => fs::create_dir(root.join(path))?,
            Item::File { path, content, mode } => {
                let mut file = open::fresh(&root.join(path), 0o666)?;
                file.write_all(content)?;
                if mode & 0o111 != 0 {
                    file.set_permissions(Permissions::from_mode(*mode))?;
                }
            }
            Item::Link { path, target } => symlink(target, root.join(path))?,
        }
    }
    // What is in a folder comes behind it.
    for item in items.iter().rev() {
        let (Item::Folder(path) | Item::File { path, .. } | Item::Link { path, .. }) = item;
        hands::give_path(&root.join(path))?;
    }
    folder.give()
}
