//! Working trees of their own for conversations.
//!
//! Git makes them, and is shown the repository as always ([`super::view`]): it runs no hook and no filter that the repository
//! names, and asks no remote. It is shown where the repository keeps its working trees as well, and writes there; only the
//! link from the new one back to the repository is put right afterwards, for it leads to what git was shown.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ports::rpc::{Code, Fault};
use tools::hands;
use tools::open;
use types::ConversationId;
use types::worktree::{Worktree, WorktreeBase};

use super::super::fault::of_file;
use super::program::Failure;
use super::repository::Repository;

/// All files are written.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a conversation wishes for.
pub(super) struct Wish {
    /// The folder that it would work in otherwise.
    pub(super) source: PathBuf,
    /// The folder of all working trees.
    pub(super) parent: PathBuf,
    pub(super) conversation: ConversationId,
    pub(super) base: WorktreeBase,
    pub(super) branch: String,
}

/// Makes a working tree, unless there is one for the conversation: somebody may work in it. `None`: there is no repository that
/// can be read, or no commit in it.
///
/// # Errors
/// `Invalid`: the base is no commit. `Unavailable`: it takes too long. What git says.
pub(super) async fn add(wish: Wish) -> Result<Option<Worktree>, Fault> {
    let Ok(source) = fs::canonicalize(&wish.source) else { return Ok(None) };
    let repository = match Repository::of(&source).await {
        Ok(Some(repository)) => repository,
        Ok(None) | Err(Failure::Unreadable(_)) => return Ok(None),
        Err(failure) => return Err(failure.into()),
    };
    let Some(start) = start(&repository, &wish.base).await? else { return Ok(None) };
    let top = repository.top().to_owned();
    let name = top.file_name().unwrap_or_else(|| "repository".as_ref());
    let own = wish.parent.join(wish.conversation.to_string());
    let root = own.join(name);
    let folder = match source.strip_prefix(&top) {
        Ok(inside) if inside != Path::new("") => root.join(inside),
        _ => root.clone(),
    };
    if !repository.has_worktree(&root) {
        repository.show_worktrees().map_err(failed)?;
        trees::remove(&own).map_err(failed)?;
        make_place(&wish.parent, &own).map_err(failed)?;
        forget(&repository, &root).await?;
        let new = ["worktree", "add", "--quiet", "--no-track", "--force", "--force", "-B", &wish.branch];
        let place = [root.as_os_str(), OsStr::new(&start)];
        match repository.git_at_top(new).args(place).patience(PATIENCE).output().await {
            Ok(_) => {}
            Err(failure @ Failure::TimedOut(_)) => {
                return Err(Fault::new(Code::Unavailable, failure.to_string()));
            }
            Err(failure) => return Err(failure.into()),
        }
        // Only then it is a whole one.
        repository.put_link_right(&root).map_err(failed)?;
    }
    hands::make_folders(&folder).map_err(failed)?;
    let text = |path: &Path| path.to_string_lossy().into_owned();
    Ok(Some(Worktree {
        conversation: wish.conversation,
        source: text(&source),
        root: text(&root),
        folder: text(&folder),
        branch: wish.branch,
    }))
}

/// Removes a working tree; its branch stays. Where there is none nothing is done.
///
/// # Errors
/// What git says, and the file system.
pub(super) async fn remove(worktree: &Worktree) -> Result<(), Fault> {
    let root = Path::new(&worktree.root);
    // What else is named is nothing of this conversation.
    let Some(own) = root.parent().filter(|own| own.ends_with(worktree.conversation.to_string())) else {
        return Ok(());
    };
    // As a whole: whoever works in it may have put a link to elsewhere in its place, which would be followed on the way to what
    // is in it.
    trees::remove(own).map_err(failed)?;
    let Some(repository) = Repository::of(Path::new(&worktree.source)).await? else { return Ok(()) };
    repository.show_worktrees().map_err(failed)?;
    forget(&repository, root).await
}

/// The commit to begin with; `None` where there is none at all.
async fn start(repository: &Repository, base: &WorktreeBase) -> Result<Option<String>, Fault> {
    let names = match base {
        WorktreeBase::DefaultBranch => {
            vec!["refs/remotes/origin/HEAD", "refs/heads/main", "refs/heads/master", "HEAD"]
        }
        WorktreeBase::Head => vec!["HEAD"],
        WorktreeBase::Ref(name) => vec![name.as_str()],
    };
    for name in names {
        let commit = format!("{name}^{{commit}}");
        let found = repository.git(["rev-parse", "--quiet", "--verify", "--end-of-options", &commit]).line();
        if let Some(commit) = found.await? {
            return Ok(Some(commit));
        }
    }
    match base {
        WorktreeBase::Ref(name) if repository.head.is_some() => {
            Err(Fault::new(Code::Invalid, format!("There is no commit '{name}' in this repository")))
        }
        WorktreeBase::Ref(_) | WorktreeBase::DefaultBranch | WorktreeBase::Head => Ok(None),
    }
}

/// Has the repository forget the working tree at `root`, of which nothing is left; also one that git was killed over, which it
/// has locked until it is whole.
async fn forget(repository: &Repository, root: &Path) -> Result<(), Fault> {
    let forgotten = repository.git_at_top(["worktree", "remove", "--force", "--force"]).args([root]).output();
    match forgotten.await {
        // It has none there.
        Ok(_) | Err(Failure::Refused { .. }) => Ok(()),
        Err(failure) => Err(failure.into()),
    }
}

/// Working trees may lie inside a repository, which is not to take them for files of its own.
fn make_place(parent: &Path, own: &Path) -> io::Result<()> {
    hands::make_folders(own)?;
    match open::fresh(&parent.join(".gitignore"), 0o644) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => {
            let mut file = made?;
            file.write_all(b"*\n")?;
            hands::give(&file)
        }
    }
}

fn failed(error: io::Error) -> Fault {
    of_file(&error, "Path not found")
}
