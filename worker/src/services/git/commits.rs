//! The history of a repository.

use types::git::{GitCommit, GitCommitsPage};

use super::program::{Failure, parts};
use super::repository::Repository;

const FIELDS: &str = "--format=%H%x00%h%x00%s%x00%an%x00%aI";

/// The newest commits from the current one backwards; none before the first.
pub(super) async fn newest(repository: &Repository, limit: usize) -> Result<GitCommitsPage, Failure> {
    let Some(head) = &repository.head else { return Ok(GitCommitsPage::default()) };
    let count = format!("--max-count={}", limit.saturating_add(1));
    let command = ["-c", "log.showSignature=false", "-c", "i18n.logOutputEncoding=UTF-8", "log", "-z"];
    let output = repository.git(command.into_iter().chain([FIELDS, &count, head, "--"])).output().await?;
    let mut commits: Vec<_> = parts(&output).chunks_exact(5).filter_map(commit).collect();
    let has_more = commits.len() > limit;
    commits.truncate(limit);
    Ok(GitCommitsPage { commits, has_more })
}

fn commit(fields: &[String]) -> Option<GitCommit> {
    let [sha, short_sha, subject, author, timestamp] = fields else { return None };
    Some(GitCommit {
        sha: sha.clone(),
        short_sha: short_sha.clone(),
        subject: subject.clone(),
        author: author.clone(),
        timestamp: timestamp.clone(),
    })
}
