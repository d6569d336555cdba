//! How a client wishes the working tree of a conversation to be made.

use control::conversations::{Apart, BRANCH_PREFIX};
use serde::Deserialize;
use types::worktree::WorktreeBase;

use crate::error::{ApiResult, Problem};

const REF: &str = "^[A-Za-z0-9][A-Za-z0-9._/-]*$";
const PREFIX: &str = "^([A-Za-z0-9][A-Za-z0-9._/-]*)?$";
/// Git makes a file of each part of a branch's name, and the id of a conversation comes behind it.
const LONGEST: usize = 200;

#[derive(Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ConversationWorktreeOptions {
    #[serde(default)]
    base: Base,
    /// A branch, a tag or a commit.
    #[serde(default, rename = "ref")]
    #[schema(pattern = "^[A-Za-z0-9][A-Za-z0-9._/-]*$", max_length = 200)]
    reference: Option<String>,
    /// What its branch is called before the conversation's id; `openhands/` if it is not given.
    #[serde(default)]
    #[schema(pattern = "^([A-Za-z0-9][A-Za-z0-9._/-]*)?$", max_length = 200)]
    branch_prefix: Option<String>,
}

/// The commit that the working tree begins with.
#[derive(Clone, Copy, Default, Deserialize, utoipa::ToSchema)]
#[schema(as = WorktreeBase)]
#[serde(rename_all = "snake_case")]
enum Base {
    #[default]
    DefaultBranch,
    Head,
    Ref,
}

impl ConversationWorktreeOptions {
    pub(super) fn into_apart(self) -> ApiResult<Apart> {
        let branch_prefix = self.branch_prefix.unwrap_or_else(|| BRANCH_PREFIX.to_owned());
        if !branch_prefix.is_empty() && !is_name(&branch_prefix) {
            return Err(Problem::mismatch(&["body", "worktree_options", "branch_prefix"], PREFIX).into());
        }
        if self.reference.as_ref().is_some_and(|name| !is_name(name)) {
            return Err(Problem::mismatch(&["body", "worktree_options", "ref"], REF).into());
        }
        let base = match (self.base, self.reference) {
            (Base::DefaultBranch, _) => WorktreeBase::DefaultBranch,
            (Base::Head, _) => WorktreeBase::Head,
            (Base::Ref, Some(name)) => WorktreeBase::Ref(name),
            (Base::Ref, None) => {
                let msg = "Value error, A `ref` base needs a `ref`";
                return Err(Problem::new("value_error", &["body", "worktree_options"], msg).into());
            }
        };
        Ok(Apart { base, branch_prefix })
    }
}

/// No name that git would take for an option, and none that it takes for no name.
fn is_name(name: &str) -> bool {
    let begins = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    let is_plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "._/-".contains(c));
    // Behind a prefix comes the id.
    let parts = name.strip_suffix('/').unwrap_or(name).split('/');
    let are_names = |mut parts: std::str::Split<'_, char>| {
        parts.all(|part| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock"))
    };
    begins && is_plain && name.len() <= LONGEST && !name.contains("..") && are_names(parts)
}
