//! What changed in a repository, as a patch that `git apply` takes. Neither the index nor the objects of the
//! repository are touched: both are made beside it, where archives are made, and in the same bounds.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ports::rpc::Fault;
use serde_json::{Map, Value};
use tools::hands;
use uuid::Uuid;

use super::super::super::fault::bad_request;
use super::super::super::git::{
    self, Base, Git, NOT_INTO_SUBMODULES, Repository, automatic_base, commit_base, parts,
};
use super::PREFIX;
use super::excludes::Excludes;
use super::limits::{Failure, Limits};

const LOOKING: Duration = Duration::from_secs(60);
/// Bytes of the names of files, before any is excluded: they are no answer.
const NAMES: u64 = 64 << 20;
const COMPARING: Duration = Duration::from_secs(300);

/// Where a patch is made, and how much may go into it.
pub(super) struct Place<'a> {
    pub(super) scratch: &'a Path,
    pub(super) limits: Limits,
}

pub(super) async fn write(
    repository: &Repository,
    base_ref: Option<&str>,
    excludes: &Excludes,
    file: File,
    place: &Place<'_>,
    headers: &mut Map<String, Value>,
) -> Result<(), Fault> {
    let base = base_of(repository, base_ref).await?;
    if let Base::Commit(commit) = &base {
        headers.insert("X-Archive-Base-Commit".into(), Value::String(commit.clone()));
        headers.insert("X-Archive-Base-Ref".into(), Value::String(base_ref.unwrap_or("auto").to_owned()));
    }
    let tree = base.tree(repository).await?;
    let changed = changed(repository, &tree, excludes).await.map_err(late)?;
    let bytes = bytes_of(repository.top().to_owned(), changed.clone()).await?;
    if bytes > place.limits.bytes {
        return Err(Failure::TooLarge(place.limits.bytes).into());
    }
    let beside = Beside::new(repository, place.scratch).await?;
    let mut names = changed.join("\0").into_bytes();
    names.push(0);
    beside.git(["read-tree", &tree]).output().await.map_err(late)?;
    let add = beside.git(["update-index", "-z", "--add", "--remove", "--replace", "--stdin"]);
    add.input(names).output().await.map_err(late)?;
    let compare =
        ["diff-index", "--cached", "--patch", "--binary", "--no-color", "--no-ext-diff", &tree, "--"];
    beside.git(compare).longest(place.limits.bytes).into_file(file).output().await.map_err(late)?;
    Ok(())
}

/// How many bytes git is about to read. What they say they have: what grows meanwhile is read no further by git.
async fn bytes_of(top: PathBuf, names: Vec<String>) -> Result<u64, Fault> {
    let bytes = move || {
        let sizes = names.iter().filter_map(|name| std::fs::symlink_metadata(top.join(name)).ok());
        sizes.fold(0_u64, |sum, file| sum.saturating_add(file.size()))
    };
    tokio::task::spawn_blocking(bytes).await.map_err(Fault::internal)
}

async fn base_of(repository: &Repository, base_ref: Option<&str>) -> Result<Base, Fault> {
    let base = match (base_ref, &repository.branch, &repository.head) {
        (Some(name), _, _) => commit_base(repository, Some(name)).await,
        (None, None, Some(head)) => Ok(Base::Commit(head.clone())),
        (None, _, _) => automatic_base(repository).await,
    };
    Ok(base?)
}

/// Changed files below the folder, as the root of the working tree sees them.
async fn changed(
    repository: &Repository,
    tree: &str,
    excludes: &Excludes,
) -> Result<Vec<String>, git::Failure> {
    let tracked =
        ["diff", "--name-only", "-z", "--no-renames", NOT_INTO_SUBMODULES, "--relative", tree, "--"];
    let untracked = ["ls-files", "--others", "--exclude-standard", "-z"];
    let (tracked, untracked) = tokio::join!(
        repository.git(tracked).patience(LOOKING).longest(NAMES).output(),
        repository.git(untracked).patience(LOOKING).longest(NAMES).output(),
    );
    let prefix = repository.folder.strip_prefix(repository.top()).unwrap_or(Path::new(""));
    let all = parts(&tracked?).into_iter().chain(parts(&untracked?));
    // A repository inside the repository is not part of it.
    let wanted = all.filter(|name| !name.ends_with('/') && !excludes.has(Path::new(name), false));
    Ok(wanted.map(|name| prefix.join(name).to_string_lossy().into_owned()).collect())
}

/// An index and a store of objects for one patch, removed afterwards.
struct Beside<'a> {
    repository: &'a Repository,
    folder: PathBuf,
}

impl<'a> Beside<'a> {
    async fn new(repository: &'a Repository, scratch: &Path) -> Result<Self, Fault> {
        let beside =
            Self { repository, folder: scratch.join(format!("{PREFIX}{}", Uuid::new_v4().simple())) };
        let objects = beside.folder.join("objects");
        let made = tokio::task::spawn_blocking(move || hands::make_folders(&objects)).await;
        made.map_err(Fault::internal)?.map_err(Fault::internal)?;
        Ok(beside)
    }

    fn git<'b>(&self, args: impl IntoIterator<Item = &'b str>) -> Git {
        self.repository
            .git_at_top(args)
            .env("GIT_INDEX_FILE", self.folder.join("index"))
            .env("GIT_OBJECT_DIRECTORY", self.folder.join("objects"))
            .env("GIT_ALTERNATE_OBJECT_DIRECTORIES", self.repository.objects())
            .patience(COMPARING)
    }
}

impl Drop for Beside<'_> {
    fn drop(&mut self) {
        // Git filled it as the agent's user, so it may hold anything.
        let folder = std::mem::take(&mut self.folder);
        tokio::task::spawn_blocking(move || trees::remove(&folder));
    }
}

/// The client is not to blame for a slow disk.
fn late(failure: git::Failure) -> Fault {
    match failure {
        git::Failure::TimedOut(_) => Fault::internal(failure),
        git::Failure::Killed(_) => failure.into(),
        failure => bad_request(failure.to_string()),
    }
}
