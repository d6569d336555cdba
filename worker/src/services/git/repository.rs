//! The repository that a folder is in.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::program::{Failure, Git, path};

pub(crate) struct Repository {
    /// The folder that was asked about.
    pub(crate) folder: PathBuf,
    /// The root of the working tree.
    pub(crate) top: PathBuf,
    /// The commit that is checked out; `None` before the first.
    pub(crate) head: Option<String>,
    /// `refs/heads/…`; `None` for a detached head.
    pub(crate) branch: Option<String>,
}

impl Repository {
    /// `None` where there is no working tree: outside repositories, in bare ones, at files.
    pub(crate) async fn of(folder: &Path) -> Result<Option<Self>, Failure> {
        if !folder.is_dir() {
            return Ok(None);
        }
        let git = |args: &[&str]| Git::in_folder(folder).args(args);
        let (top, head, branch) = tokio::join!(
            git(&["rev-parse", "--show-toplevel"]).output(),
            git(&["rev-parse", "--quiet", "--verify", "HEAD^{commit}"]).line(),
            git(&["symbolic-ref", "--quiet", "HEAD"]).line(),
        );
        let top = match top {
            Ok(top) => path(&top),
            Err(Failure::Refused { .. }) => return Ok(None),
            // There is no git here, so there are no repositories.
            Err(Failure::Unusable(error)) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(failure) => return Err(failure),
        };
        Ok(Some(Self { folder: folder.to_owned(), top, head: head?, branch: branch? }))
    }

    pub(crate) fn git<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Git {
        Git::in_folder(&self.folder).args(args)
    }

    /// The commit that a name means, if it means one.
    pub(crate) async fn commit(&self, name: &str) -> Result<String, Failure> {
        let name = format!("{name}^{{commit}}");
        let output = self.git(["rev-parse", "--verify", "--end-of-options", &name]).output().await?;
        Ok(String::from_utf8_lossy(&output).trim().to_owned())
    }
}
