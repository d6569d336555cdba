//! Working trees of their own for conversations.
//!
//! Git makes them, and is shown the repository as always ([`super::view`]): it runs no hook and no filter that the repository
//! names, and asks no remote. It is shown where the repository keeps its working trees as well, and writes there; only the
//! link from the new one back to the repository is put right afterwards, for it leads to what git was shown.
//!
//! **Nothing that is there is used again, or touched.** Each making has a folder that nothing else ever has
//! ([`types::worktree::Place`]) and begins a branch that was not there. So a git that goes on after its worker was killed, a
//! making that nobody waits for any more, a removal that comes late: none of them meets the working tree of anybody else, be it
//! of the same conversation or of a later one with its id. Those of one conversation are made and removed one after the other
//! ([`ports::Turns`]): a removal waits for the making that it undoes.
//!
//! **What is made is noted before** ([`super::places`]), and the note goes last. What goes wrong is removed at once. What a
//! crash leaves, of the making or of the removal, the control plane has removed later: it asks for places that are old, and
//! knows which of them conversations work in.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ports::Turns;
use ports::rpc::{Code, Fault};
use tools::folder::Folder;
use tools::hands;
use tools::open;
use types::ConversationId;
use types::worktree::{Place, Worktree, WorktreeBase};

use super::super::fault::of_file;
use super::places::{Note, Places};
use super::program::Failure;
use super::repository::Repository;
use super::unsaved;

/// All files are written.
const PATIENCE: Duration = Duration::from_secs(4 * 60);

const LATER: &str = "The working tree cannot be made now. Try again later.";

pub(super) struct Worktrees {
    places: Places,
    turns: Turns<ConversationId>,
}

/// What a conversation wishes for.
pub(super) struct Wish {
    /// The folder that it would work in otherwise.
    pub(super) source: PathBuf,
    /// The folder of all working trees.
    pub(super) parent: PathBuf,
    pub(super) place: Place,
    pub(super) base: WorktreeBase,
    pub(super) branch: String,
}

impl Worktrees {
    /// `notes`: a folder that outlives the worker. Nobody else's.
    pub(super) fn new(notes: PathBuf) -> Self {
        Self { places: Places::new(notes), turns: Turns::default() }
    }

    /// `None`: there is no repository that can be read, or no commit in it.
    ///
    /// # Errors
    /// `Invalid`: the base is no commit, or no branch can be called so. `Unavailable`: git says no, or takes too long. There is
    /// nothing then.
    pub(super) async fn add(&self, wish: Wish) -> Result<Option<Worktree>, Fault> {
        let _turn = self.turns.wait(wish.place.conversation).await;
        let Ok(source) = fs::canonicalize(&wish.source) else { return Ok(None) };
        let repository = match Repository::of(&source).await {
            Ok(Some(repository)) => repository,
            Ok(None) | Err(Failure::Unreadable(_) | Failure::Refused { .. }) => return Ok(None),
            Err(failure) => return Err(later(failure)),
        };
        let Some(start) = start(&repository, &wish.base).await? else { return Ok(None) };
        let branch = free_branch(&repository, &wish).await?;
        let repository_is = fs::canonicalize(repository.common()).map_err(failed)?;
        let folder = wish.parent.join(wish.place.to_string());
        let note = Note { folder, repository: repository_is, is_part: true };
        self.places.note(wish.place, &note).map_err(failed)?;
        let made = make(&repository, &source, &wish, &start, &branch).await;
        let made = made.and_then(|made| {
            self.places.is_whole(wish.place).map_err(failed)?;
            Ok(made)
        });
        if made.is_err() {
            if let Err(fault) = self.clear(wish.place).await {
                tracing::warn!(place = %wish.place, %fault, "what was made of a working tree stays for now");
            }
            // If it was begun, and nobody has committed to it.
            let begun = ["update-ref", "-d", &format!("refs/heads/{branch}"), &start];
            let _ = repository.git_at_top(begun).output().await;
        }
        made.map(Some)
    }

    /// Removes what was made at a place; the branch stays. Where nothing was, nothing is done.
    ///
    /// # Errors
    /// What git says, and the file system.
    pub(super) async fn remove(&self, place: Place) -> Result<(), Fault> {
        let _turn = self.turns.wait(place.conversation).await;
        self.clear(place).await
    }

    /// The same where nothing would be lost. Else it is told of as one that was made long ago only when it has been so again.
    ///
    /// # Errors
    /// `Conflict`: something would be, or it cannot be told. As [`Worktrees::remove`].
    pub(super) async fn sweep(&self, place: Place) -> Result<(), Fault> {
        let _turn = self.turns.wait(place.conversation).await;
        if let Some(note) = self.places.noted(place).map_err(failed)?
            && !note.is_part
            && unsaved::is_in(&note.folder).await
        {
            self.places.renew(place).map_err(failed)?;
            return Err(Fault::new(Code::Conflict, "There is something in it that is not committed"));
        }
        self.clear(place).await
    }

    /// The places that were made longer ago than any making takes, the first of those behind `after`.
    pub(super) fn old(&self, after: Option<Place>) -> Vec<Place> {
        self.places.old(after)
    }

    async fn clear(&self, place: Place) -> Result<(), Fault> {
        if let Some(Note { folder, repository, .. }) = self.places.noted(place).map_err(failed)? {
            // Whoever goes on with it later finds a part alone.
            self.places.is_part(place).map_err(failed)?;
            // As a whole: whoever works in it may have put a link to elsewhere in its place, which would be followed on the way
            // to what is in it.
            trees::remove(&folder).map_err(failed)?;
            match Repository::sharing(&repository).await {
                Ok(Some(repository)) => forget(&repository, place).await?,
                // Whoever has spoiled it has nothing of ours: that was the folder.
                Ok(None) | Err(Failure::Unreadable(_) | Failure::Refused { .. }) => {}
                Err(failure) => return Err(failure.into()),
            }
        }
        self.places.forget(place).map_err(failed)
    }
}

async fn make(
    repository: &Repository,
    source: &Path,
    wish: &Wish,
    start: &str,
    branch: &str,
) -> Result<Worktree, Fault> {
    let name = repository.top().file_name().unwrap_or_else(|| "repository".as_ref());
    let root = wish.parent.join(wish.place.to_string()).join(name);
    let folder = match source.strip_prefix(repository.top()) {
        Ok(inside) if inside != Path::new("") => root.join(inside),
        _ => root.clone(),
    };
    repository.take_worktrees().map_err(failed)?;
    make_place(&wish.parent, wish.place).map_err(failed)?;
    // Their names have no other use: both are new.
    let new = ["worktree", "add", "--quiet", "--no-track", "-b", branch];
    let at = [root.as_os_str(), OsStr::new(start)];
    repository.git_at_top(new).args(at).patience(PATIENCE).output().await.map_err(later)?;
    repository.put_link_right(&root).map_err(failed)?;
    hands::make_folders(&folder).map_err(failed)?;
    let text = |path: &Path| path.to_string_lossy().into_owned();
    Ok(Worktree {
        conversation: wish.place.conversation,
        root: text(&root),
        folder: text(&folder),
        branch: branch.to_owned(),
    })
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
        if let Some(commit) = commit(repository, &format!("{name}^{{commit}}")).await? {
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

/// A name for the branch that no branch has: what is in one, of an earlier conversation say, stays there.
async fn free_branch(repository: &Repository, wish: &Wish) -> Result<String, Fault> {
    // Git makes a folder of what is before a slash.
    for (slash, _) in wish.branch.match_indices('/') {
        let before = wish.branch.get(..slash).unwrap_or_default();
        if commit(repository, &format!("refs/heads/{before}")).await?.is_some() {
            let refusal = format!("There is a branch '{before}', so none can be called '{}'", wish.branch);
            return Err(Fault::new(Code::Invalid, refusal));
        }
    }
    match commit(repository, &format!("refs/heads/{}", wish.branch)).await? {
        Some(_) => Ok(wish.place.other_branch(&wish.branch)),
        None => Ok(wish.branch.clone()),
    }
}

/// What a name means, if it means anything.
async fn commit(repository: &Repository, name: &str) -> Result<Option<String>, Fault> {
    let found = repository.git(["rev-parse", "--quiet", "--verify", "--end-of-options", name]).line();
    match found.await {
        // As of the beginning of a hash that two have.
        Err(Failure::Refused { .. }) => Ok(None),
        found => found.map_err(later),
    }
}

/// Has the repository forget the working trees at a place, of which nothing is left; also one that git was killed over, which it
/// has locked until it is whole.
async fn forget(repository: &Repository, place: Place) -> Result<(), Fault> {
    repository.show_worktrees().map_err(failed)?;
    let listed = repository.git_at_top(["worktree", "list", "--porcelain"]).output().await?;
    let (listed, place) = (String::from_utf8_lossy(&listed).into_owned(), place.to_string());
    let roots = listed.lines().filter_map(|line| line.strip_prefix("worktree "));
    let is_there = |root: &&str| Path::new(root).parent().and_then(Path::file_name) == Some(place.as_ref());
    for root in roots.filter(is_there) {
        repository.git_at_top(["worktree", "remove", "--force", "--force", root]).output().await?;
    }
    Ok(())
}

/// Working trees may lie inside a repository, which is not to take them for files of its own.
fn make_place(parent: &Path, place: Place) -> io::Result<()> {
    let parent = Folder::make(parent)?;
    match open::fresh(&parent.path().join(".gitignore"), 0o644) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => {
            let mut file = made?;
            file.write_all(b"*\n")?;
            hands::give(&file)?;
        }
    }
    parent.fresh(place.to_string().as_ref())?.give()
}

/// What was wished for is right, and it goes wrong all the same.
fn later(failure: Failure) -> Fault {
    Fault::new(Code::Unavailable, LATER).caused_by(failure)
}

fn failed(error: io::Error) -> Fault {
    of_file(&error, "Path not found")
}
