//! What git says about workspaces.

use axum::extract::State;
use control::Activity;
use control::placement::Workers;
use serde::Deserialize;
use serde_json::json;
use types::SandboxId;
use types::calls::{GitAnswer, GitCall};
use types::git::{GitChange, GitCommitsPage, GitDiff};

use crate::described::{Routes, routes};
use crate::error::{ApiError, ApiResult, Problem};
use crate::extract::{Json, Path, Query};
use crate::scope::Target;

/// What names of commits look like.
pub(crate) const SHA: &str = "^[0-9a-fA-F]{4,64}$";

/// Asks workers about repositories.
#[derive(Clone)]
pub struct Git {
    workers: Workers,
    activity: Activity,
}

impl Git {
    pub(crate) fn new(workers: Workers, activity: Activity) -> Self {
        Self { workers, activity }
    }

    async fn changes(&self, sandbox: &SandboxId, ask: GitCall) -> ApiResult<Json<Vec<GitChange>>> {
        match self.ask(sandbox, ask).await? {
            GitAnswer::Changes(changes) => Ok(Json(changes)),
            other => Err(unexpected(&other)),
        }
    }

    async fn ask(&self, sandbox: &SandboxId, ask: GitCall) -> ApiResult<GitAnswer> {
        self.activity.touch();
        Ok(self.workers.call(sandbox, &ask).await?)
    }
}

/// Below `/api/git` and below a conversation's `/git`.
pub fn routes() -> Routes {
    Routes::new()
        .routes(routes!(git_changes_query))
        .routes(routes!(git_diff_query))
        .routes(routes!(git_commits_query))
        .routes(routes!(git_commit_changes_query))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct ChangesQuery {
    /// The directory.
    path: String,
    /// What to compare with; by default the remote's state of the branch.
    r#ref: Option<String>,
}

/// Files that differ from a reference.
#[utoipa::path(get, path = "/changes", tag = "Git", params(ChangesQuery),
    responses((status = 200, body = Vec<GitChange>), (status = 400, description = "Unknown reference")))]
async fn git_changes_query(
    State(git): State<Git>,
    target: Target,
    Query(query): Query<ChangesQuery>,
) -> ApiResult<Json<Vec<GitChange>>> {
    let Target { sandbox, scope } = target;
    git.changes(&sandbox, GitCall::Changes { scope, path: query.path, reference: query.r#ref }).await
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct DiffQuery {
    /// The file.
    path: String,
    /// What to compare with; not together with `commit`.
    r#ref: Option<String>,
    /// Shows what this commit changed.
    #[param(pattern = "^[0-9a-fA-F]{4,64}$")]
    commit: Option<String>,
}

/// Both sides of a changed file.
#[utoipa::path(get, path = "/diff", tag = "Git", params(DiffQuery),
    responses((status = 200, body = GitDiff), (status = 400, description = "No such file, or too large")))]
async fn git_diff_query(
    State(git): State<Git>,
    target: Target,
    Query(query): Query<DiffQuery>,
) -> ApiResult<Json<GitDiff>> {
    if let Some(commit) = &query.commit {
        check_sha(commit, &["query", "commit"])?;
    }
    if query.commit.is_some() && query.r#ref.is_some() {
        return Err(ApiError::bad_request("ref and commit cannot be combined"));
    }
    let Target { sandbox, scope } = target;
    let ask = GitCall::Diff { scope, path: query.path, reference: query.r#ref, commit: query.commit };
    match git.ask(&sandbox, ask).await? {
        GitAnswer::Diff(diff) => Ok(Json(diff)),
        other => Err(unexpected(&other)),
    }
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct CommitsQuery {
    /// The directory.
    path: String,
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<i64>,
}

/// The newest commits.
#[utoipa::path(get, path = "/commits", tag = "Git", params(CommitsQuery),
    responses((status = 200, body = GitCommitsPage), (status = 400, description = "Not a path")))]
async fn git_commits_query(
    State(git): State<Git>,
    target: Target,
    Query(query): Query<CommitsQuery>,
) -> ApiResult<Json<GitCommitsPage>> {
    let limit = match query.limit.unwrap_or(50) {
        limit @ 1..=200 => usize::try_from(limit).unwrap_or(50),
        limit => return Err(limit_problem(limit).into()),
    };
    let Target { sandbox, scope } = target;
    match git.ask(&sandbox, GitCall::Commits { scope, path: query.path, limit }).await? {
        GitAnswer::Commits(page) => Ok(Json(page)),
        other => Err(unexpected(&other)),
    }
}

fn limit_problem(limit: i64) -> Problem {
    let (kind, msg, ctx) = match limit {
        ..1 => ("greater_than_equal", "Input should be greater than or equal to 1", json!({"ge": 1})),
        1.. => ("less_than_equal", "Input should be less than or equal to 200", json!({"le": 200})),
    };
    Problem { ctx: Some(ctx), ..Problem::new(kind, &["query", "limit"], msg) }
}

#[derive(Deserialize)]
struct CommitPath {
    sha: String,
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
struct PathQuery {
    /// The directory.
    path: String,
}

/// Files a commit changed.
#[utoipa::path(get, path = "/commits/{sha}/changes", tag = "Git", params(("sha" = String, Path), PathQuery),
    responses((status = 200, body = Vec<GitChange>), (status = 400, description = "Unknown commit")))]
async fn git_commit_changes_query(
    State(git): State<Git>,
    target: Target,
    Path(params): Path<CommitPath>,
    Query(query): Query<PathQuery>,
) -> ApiResult<Json<Vec<GitChange>>> {
    check_sha(&params.sha, &["path", "sha"])?;
    let Target { sandbox, scope } = target;
    git.changes(&sandbox, GitCall::CommitChanges { scope, path: query.path, sha: params.sha }).await
}

fn check_sha(sha: &str, loc: &[&str]) -> ApiResult<()> {
    if (4..=64).contains(&sha.len()) && sha.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(());
    }
    let msg = format!("String should match pattern '{SHA}'");
    Err(Problem::new("string_pattern_mismatch", loc, msg).into())
}

fn unexpected(answer: &GitAnswer) -> ApiError {
    let kind = match answer {
        GitAnswer::Changes(_) => "changes",
        GitAnswer::Diff(_) => "a diff",
        GitAnswer::Commits(_) => "commits",
        GitAnswer::Prepared => "a prepared directory",
        GitAnswer::Worktree(_) => "a working tree",
        GitAnswer::Removed => "a removed working tree",
        GitAnswer::OldWorktrees(_) => "working trees",
    };
    ApiError::internal(format!("the worker answered with {kind}"))
}
