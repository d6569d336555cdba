//! The repository that a folder is in.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::find::{self, Around, Tree};
use super::program::{Failure, Git};
use super::view::View;

pub(crate) struct Repository {
    /// The folder that was asked about.
    pub(crate) folder: PathBuf,
    /// The commit that is checked out; `None` before the first.
    pub(crate) head: Option<String>,
    /// `refs/heads/…`; `None` for a detached head.
    pub(crate) branch: Option<String>,
    view: View,
}

impl Repository {
    /// `None` where there is no working tree: outside repositories, in bare ones, at files.
    ///
    /// # Errors
    /// A repository that cannot be read.
    pub(crate) async fn of(folder: &Path) -> Result<Option<Self>, Failure> {
        if !folder.is_dir() {
            return Ok(None);
        }
        let Around::Tree(tree) = find::around(folder).map_err(Failure::Unreadable)? else { return Ok(None) };
        Self::in_tree(folder, tree).await
    }

    /// By what all its working trees share: none of them need be there.
    ///
    /// # Errors
    /// A repository that cannot be read.
    pub(super) async fn sharing(common: &Path) -> Result<Option<Self>, Failure> {
        match find::shared(common) {
            Some(tree) => Self::in_tree(common, tree).await,
            None => Ok(None),
        }
    }

    async fn in_tree(folder: &Path, tree: Tree) -> Result<Option<Self>, Failure> {
        let view = match View::of(tree).await {
            // There is no git here, so there are no repositories.
            Err(Failure::Unusable(error)) if error.kind() == ErrorKind::NotFound => return Ok(None),
            view => view?,
        };
        let (head, branch) = tokio::join!(
            view.git(folder).args(["rev-parse", "--quiet", "--verify", "HEAD^{commit}"]).line(),
            view.git(folder).args(["symbolic-ref", "--quiet", "HEAD"]).line(),
        );
        Ok(Some(Self { folder: folder.to_owned(), head: head?, branch: branch?, view }))
    }

    /// Git in the folder.
    pub(crate) fn git<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Git {
        self.view.git(&self.folder).args(args)
    }

    /// Git in the root of the working tree.
    pub(crate) fn git_at_top<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Git {
        self.view.git(self.top()).args(args)
    }

    /// The root of the working tree.
    pub(crate) fn top(&self) -> &Path {
        &self.view.top
    }

    /// Where its objects are.
    pub(crate) fn objects(&self) -> &Path {
        &self.view.objects
    }

    /// The address of the remote `origin`, as it is configured.
    pub(crate) fn origin(&self) -> Option<&str> {
        self.view.origin.as_deref()
    }

    /// What of the repository is this working tree's alone.
    pub(super) fn own(&self) -> &Path {
        &self.view.git_dir
    }

    /// What all its working trees share.
    pub(super) fn common(&self) -> &Path {
        self.view.common()
    }

    /// Has git see its working trees.
    pub(super) fn show_worktrees(&self) -> io::Result<()> {
        self.view.with_worktrees()
    }

    /// The same, and make new ones.
    pub(super) fn take_worktrees(&self) -> io::Result<()> {
        self.view.with_new_worktrees()
    }

    /// Has the new working tree at `root` know where it belongs.
    pub(super) fn put_link_right(&self, root: &Path) -> io::Result<()> {
        self.view.put_link_right(root)
    }

    /// The commit that a name means, if it means one.
    pub(crate) async fn commit(&self, name: &str) -> Result<String, Failure> {
        let name = format!("{name}^{{commit}}");
        let output = self.git(["rev-parse", "--verify", "--end-of-options", &name]).output().await?;
        Ok(String::from_utf8_lossy(&output).trim().to_owned())
    }
}
