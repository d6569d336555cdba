//! Response headers that say which state of which repository was archived.

use serde_json::{Map, Value};

use super::super::super::git::Repository;

pub(super) fn headers(repository: &Repository) -> Map<String, Value> {
    let branch = repository.branch.as_deref().map(|name| name.strip_prefix("refs/heads/").unwrap_or(name));
    let mut headers = Map::new();
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            headers.insert(name.to_owned(), Value::String(value));
        }
    };
    add("X-Archive-Repo-Remote", repository.origin().map(without_credentials));
    add("X-Archive-Branch", Some(branch.unwrap_or("DETACHED").to_owned()));
    add("X-Archive-Head-Commit", repository.head.clone());
    add("X-Archive-Repo-Root", Some(repository.top().to_string_lossy().into_owned()));
    headers
}

/// Without user and password; the user of an ssh address is no secret.
fn without_credentials(remote: &str) -> String {
    let Some((scheme, rest)) = remote.split_once("://") else { return remote.to_owned() };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_of_a_remote_are_not_told() {
        assert_eq!(without_credentials("https://me:t@ken@host:1/a@b.git"), "https://host:1/a@b.git");
        assert_eq!(without_credentials("git@host:a/b.git"), "git@host:a/b.git");
    }
}
