//! What changes are shown against.

use std::collections::HashMap;

use super::changes::NOT_INTO_SUBMODULES;
use super::program::Failure;
use super::repository::Repository;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Base {
    Commit(String),
    /// Everything is new.
    Nothing,
}

impl Base {
    /// The name of its tree, for git.
    pub(crate) async fn tree(&self, repository: &Repository) -> Result<String, Failure> {
        match self {
            Self::Commit(commit) => Ok(commit.clone()),
            Self::Nothing => {
                let tree = repository.git(["hash-object", "-t", "tree", "/dev/null"]).output().await?;
                Ok(String::from_utf8_lossy(&tree).trim().to_owned())
            }
        }
    }
}

/// The base that a client named, or the automatic one.
pub(crate) async fn commit(repository: &Repository, reference: Option<&str>) -> Result<Base, Failure> {
    match reference {
        None => automatic(repository).await,
        Some("HEAD") if repository.head.is_none() => Ok(Base::Nothing),
        Some(name) => repository.commit(name).await.map(Base::Commit),
    }
}

/// What a person would call the start of the current work: what was pushed, where the branch left the default
/// branch, or the last commit.
pub(crate) async fn automatic(repository: &Repository) -> Result<Base, Failure> {
    let Some(head) = &repository.head else { return Ok(Base::Nothing) };
    let branch = repository.branch.as_deref().and_then(|branch| branch.strip_prefix("refs/heads/"));
    let pushed = branch.map(|branch| format!("refs/remotes/origin/{branch}"));
    let references = References::read(repository, pushed.as_deref()).await?;

    if let Some(pushed) = pushed.and_then(|pushed| references.commit(&pushed))
        && (pushed != head || !is_clean(repository).await?)
    {
        return Ok(Base::Commit(pushed.to_owned()));
    }
    if let Some(default) = references.remote_default() {
        let fork = repository.git(["merge-base", "HEAD", default]).line().await?;
        return Ok(Base::Commit(fork.unwrap_or_else(|| default.to_owned())));
    }
    for name in ["main", "master"] {
        let Some(other) = references.commit(&format!("refs/heads/{name}")) else { continue };
        let is_ancestor =
            repository.git(["merge-base", "--is-ancestor", other, "HEAD"]).line().await?.is_some();
        if branch != Some(name) && is_ancestor {
            return Ok(Base::Commit(other.to_owned()));
        }
    }
    Ok(Base::Commit(head.clone()))
}

async fn is_clean(repository: &Repository) -> Result<bool, Failure> {
    Ok(repository.git(["status", "--porcelain", "-z", NOT_INTO_SUBMODULES]).output().await?.is_empty())
}

/// The references that may become a base, without asking the remote.
struct References {
    commits: HashMap<String, String>,
    origin_head: Option<String>,
}

impl References {
    async fn read(repository: &Repository, pushed: Option<&str>) -> Result<Self, Failure> {
        const USUAL: [&str; 5] = [
            "refs/remotes/origin/HEAD",
            "refs/remotes/origin/main",
            "refs/remotes/origin/master",
            "refs/heads/main",
            "refs/heads/master",
        ];
        let listing = ["for-each-ref", "--format=%(refname) %(objectname) %(symref)"];
        let output = repository.git(listing.into_iter().chain(USUAL).chain(pushed)).output().await?;
        let (mut commits, mut origin_head) = (HashMap::new(), None);
        for line in String::from_utf8_lossy(&output).lines() {
            let mut words = line.split(' ');
            let (Some(name), Some(commit)) = (words.next(), words.next()) else { continue };
            commits.insert(name.to_owned(), commit.to_owned());
            if name == "refs/remotes/origin/HEAD" {
                origin_head = words.next().filter(|target| !target.is_empty()).map(str::to_owned);
            }
        }
        Ok(Self { commits, origin_head })
    }

    fn commit(&self, name: &str) -> Option<&str> {
        self.commits.get(name).map(String::as_str)
    }

    /// The commit of the remote's default branch.
    fn remote_default(&self) -> Option<&str> {
        let usual = ["refs/remotes/origin/main", "refs/remotes/origin/master"];
        let at_head = self.origin_head.as_ref().and(self.commit("refs/remotes/origin/HEAD"));
        at_head.or_else(|| usual.iter().find_map(|name| self.commit(name)))
    }
}
