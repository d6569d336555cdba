//! Which files changed.

use std::collections::BTreeMap;
use std::path::Path;

use ports::rpc::Fault;
use types::git::{GitChange, GitChangeStatus};

use super::super::fault::bad_request;
use super::base;
use super::program::{Failure, parts};
use super::repository::Repository;

/// Git would look into a submodule with the settings of that one.
pub(crate) const NOT_INTO_SUBMODULES: &str = "--ignore-submodules=dirty";

type Changes = BTreeMap<String, GitChangeStatus>;

/// Files of one answer, and bytes of their names. What cannot be listed whole is refused: nobody would see that some are missing.
const MOST_CHANGES: usize = 50_000;
const MOST_BYTES: usize = 4 << 20;

/// Beside each other, outside any repository: a folder with all that somebody ever cloned is not looked through.
const MOST_BESIDE: usize = 100;

/// Changes of the working tree below `folder`, also in repositories directly in it, whether it is in one itself or not.
pub(super) async fn of_folder(folder: &Path, reference: Option<&str>) -> Result<Vec<GitChange>, Fault> {
    let outer = Repository::of(folder).await?;
    let mut all = match &outer {
        Some(repository) => of_repository(repository, reference).await?,
        None => Changes::new(),
    };
    let mut names = nested(folder);
    if outer.is_none() && names.len() > MOST_BESIDE {
        tracing::warn!(
            left_out = names.len() - MOST_BESIDE,
            "there are more repositories than are looked at"
        );
        names.truncate(MOST_BESIDE);
    }
    let (mut refusal, mut has_answer) = (None, outer.is_some());
    for name in names {
        let repository = match Repository::of(&folder.join(&name)).await {
            Ok(Some(repository)) => repository,
            Ok(None) => continue,
            // The outer repository can be shown without it.
            Err(error) => {
                tracing::debug!(%name, %error, "a repository inside another cannot be read");
                continue;
            }
        };
        let inside = format!("{name}/");
        all.retain(|path, _| *path != name && !path.starts_with(&inside));
        // A name that a client knows from the outer repository need not exist in this one.
        let reference = reference.filter(|name| *name == "HEAD" || outer.is_none());
        let changes = match of_repository(&repository, reference).await {
            // Of several beside each other, some have it.
            Err(refused @ Failure::Refused { .. }) if outer.is_none() => {
                refusal = Some(refused);
                continue;
            }
            changes => changes?,
        };
        has_answer = true;
        all.extend(changes.into_iter().map(|(path, status)| (format!("{inside}{path}"), status)));
        check_bounds(&all)?;
    }
    match refusal {
        Some(refusal) if !has_answer => Err(refusal.into()),
        _ => listed(all),
    }
}

/// What a commit changed against its first parent, below `folder`. Outside a repository: nothing.
pub(super) async fn of_commit(folder: &Path, sha: &str) -> Result<Vec<GitChange>, Fault> {
    let Some(repository) = Repository::of(folder).await? else { return Ok(Vec::new()) };
    let commit = repository.commit(sha).await?;
    let parent = parent(&repository, &commit).await?;
    let command = ["diff-tree", "-r", "--name-status", "-z", "--no-renames", "--relative", &parent, &commit];
    listed(named(&repository.git(command).output().await?))
}

/// The tree before a commit: that of its first parent, or the empty one.
pub(super) async fn parent(repository: &Repository, commit: &str) -> Result<String, Failure> {
    let first = repository.git(["rev-parse", "--quiet", "--verify", &format!("{commit}^1")]).line().await?;
    first.map_or(base::Base::Nothing, base::Base::Commit).tree(repository).await
}

async fn of_repository(repository: &Repository, reference: Option<&str>) -> Result<Changes, Failure> {
    let base = base::commit(repository, reference).await?.tree(repository).await?;
    let tracked =
        ["diff", "--name-status", "-z", "--no-renames", NOT_INTO_SUBMODULES, "--relative", &base, "--"];
    let (tracked, untracked) = tokio::join!(
        repository.git(tracked).output(),
        repository.git(["ls-files", "--others", "--exclude-standard", "-z"]).output(),
    );
    let mut changes = named(&tracked?);
    for path in parts(&untracked?) {
        let status = match changes.get(path.as_str()) {
            Some(GitChangeStatus::Deleted) => GitChangeStatus::Updated,
            _ => GitChangeStatus::Added,
        };
        changes.insert(path.trim_end_matches('/').to_owned(), status);
    }
    Ok(changes)
}

/// Reads the output of `--name-status -z`: a letter, a path, and so on.
fn named(output: &[u8]) -> Changes {
    let parts = parts(output);
    let pairs = parts.chunks_exact(2).filter_map(|pair| match pair {
        [letter, path] => Some((path.clone(), status(letter))),
        _ => None,
    });
    pairs.collect()
}

fn status(letter: &str) -> GitChangeStatus {
    match letter.get(..1) {
        Some("A") => GitChangeStatus::Added,
        Some("D") => GitChangeStatus::Deleted,
        _ => GitChangeStatus::Updated,
    }
}

/// Names of folders in `folder` that have a repository.
fn nested(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let folders =
        entries.filter_map(Result::ok).filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    let with_repository = folders.filter(|entry| entry.path().join(".git").exists());
    let mut names: Vec<_> =
        with_repository.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

fn listed(changes: Changes) -> Result<Vec<GitChange>, Fault> {
    check_bounds(&changes)?;
    Ok(changes.into_iter().map(|(path, status)| GitChange { status, path }).collect())
}

fn check_bounds(changes: &Changes) -> Result<(), Fault> {
    let bytes: usize = changes.keys().map(String::len).sum();
    match changes.len() > MOST_CHANGES || bytes > MOST_BYTES {
        true => Err(bad_request("More files have changed than can be listed")),
        false => Ok(()),
    }
}
