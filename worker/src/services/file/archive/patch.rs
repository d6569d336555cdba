//! What changed in a repository, as a patch that `git apply` takes. Neither the index nor the objects of the
//! repository are touched: both are made beside it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ports::rpc::Fault;
use serde_json::{Map, Value};
use tools::hands;
use uuid::Uuid;

use super::super::super::fault::bad_request;
use super::super::super::git::{
    Base, Failure, Git, NOT_INTO_SUBMODULES, Repository, automatic_base, commit_base, parts,
};
use super::excludes::Excludes;

const LOOKING: Duration = Duration::from_secs(60);
const COMPARING: Duration = Duration::from_secs(300);

pub(super) async fn write(
    repository: &Repository,
    base_ref: Option<&str>,
    excludes: &Excludes,
    file: File,
    headers: &mut Map<String, Value>,
) -> Result<(), Fault> {
    let base = base_of(repository, base_ref).await?;
    if let Base::Commit(commit) = &base {
        headers.insert("X-Archive-Base-Commit".into(), Value::String(commit.clone()));
        headers.insert("X-Archive-Base-Ref".into(), Value::String(base_ref.unwrap_or("auto").to_owned()));
    }
    let tree = base.tree(repository).await?;
    let beside = Beside::new(repository)?;
    let changed = changed(repository, &tree, excludes).await.map_err(late)?;
    let mut names = changed.join("\0").into_bytes();
    names.push(0);
    beside.git(["read-tree", &tree]).output().await.map_err(late)?;
    let add = beside.git(["update-index", "-z", "--add", "--remove", "--replace", "--stdin"]);
    add.input(names).output().await.map_err(late)?;
    let compare =
        ["diff-index", "--cached", "--patch", "--binary", "--no-color", "--no-ext-diff", &tree, "--"];
    beside.git(compare).into_file(file).output().await.map_err(late)?;
    Ok(())
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
async fn changed(repository: &Repository, tree: &str, excludes: &Excludes) -> Result<Vec<String>, Failure> {
    let tracked =
        ["diff", "--name-only", "-z", "--no-renames", NOT_INTO_SUBMODULES, "--relative", tree, "--"];
    let (tracked, untracked) = tokio::join!(
        repository.git(tracked).patience(LOOKING).output(),
        repository.git(["ls-files", "--others", "--exclude-standard", "-z"]).patience(LOOKING).output(),
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
    fn new(repository: &'a Repository) -> Result<Self, Fault> {
        let folder = std::env::temp_dir().join(format!("manyhands-patch-{}", Uuid::new_v4().simple()));
        let beside = Self { repository, folder };
        hands::make_folders(&beside.folder.join("objects")).map_err(Fault::internal)?;
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
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The client is not to blame for a slow disk.
fn late(failure: Failure) -> Fault {
    match failure {
        Failure::TimedOut(_) => Fault::internal(failure),
        failure => bad_request(failure.to_string()),
    }
}
