//! New repositories. Starting git takes longer than all else in making a conversation, so it is asked once what
//! a new repository looks like here, with the user's settings and templates; the next ones are copies.

use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use ports::rpc::Fault;
use tokio::sync::OnceCell;
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

#[derive(Default)]
pub(super) struct Template {
    items: OnceCell<Vec<Item>>,
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
    /// Makes `folder`, and a repository in it unless it is in one. Without git there is only the folder. Blocks.
    pub(super) async fn prepare(&self, folder: &Path) -> Result<(), Fault> {
        let failed = |error: io::Error| of_file(&error, "Path not found");
        hands::make_folders(folder).map_err(failed)?;
        if !matches!(find::around(folder).map_err(failed)?, Around::Nothing) {
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
    make_folder(&folder)?;
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
fn copy(items: &[Item], folder: &Path) -> io::Result<()> {
    let unfinished = folder.join(format!(".git-{}", Uuid::new_v4().simple()));
    let written = write(items, &unfinished).and_then(|()| fs::rename(&unfinished, folder.join(".git")));
    let Err(error) = written else { return Ok(()) };
    let _ = trees::remove(&unfinished);
    // Somebody was faster.
    if matches!(find::around(folder), Ok(Around::Tree(_))) { Ok(()) } else { Err(error) }
}

fn make_folder(path: &Path) -> io::Result<()> {
    fs::create_dir(path)?;
    hands::give_path(path)
}

fn write(items: &[Item], root: &Path) -> io::Result<()> {
    make_folder(root)?;
    for item in items {
        match item {
            Item::Folder(path) => make_folder(&root.join(path))?,
            Item::File { path, content, mode } => {
                let path = root.join(path);
                let mut file = open::fresh(&path, 0o666)?;
                file.write_all(content)?;
                hands::give(&file)?;
                if mode & 0o111 != 0 {
                    file.set_permissions(Permissions::from_mode(*mode))?;
                }
            }
            Item::Link { path, target } => {
                let path = root.join(path);
                symlink(target, &path)?;
                hands::give_path(&path)?;
            }
        }
    }
    Ok(())
}
