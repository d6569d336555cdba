//! What clients and catalogues name to be fetched: a folder, a repository by its address, or one of GitHub in short.

use std::path::{Component, Path, PathBuf};

use types::calls::{NotFetched, WhyNotFetched};
use types::extensions::without_credentials;

/// Where something is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    Folder(String),
    Repository {
        /// May hold credentials.
        url: String,
        /// What the short form names.
        reference: Option<String>,
        path: Option<String>,
        /// As it was given, without credentials.
        shown: String,
    },
}

const GITHUB: &str = "github:";

impl Source {
    /// # Errors
    /// For what is neither.
    pub fn parse(source: &str) -> Result<Self, NotFetched> {
        let source = source.trim();
        if let Some(short) = source.strip_prefix(GITHUB) {
            return of_github(short, source);
        }
        if is_address(source) {
            let url = with_suffix(source);
            return Ok(Self::Repository {
                url,
                reference: None,
                path: None,
                shown: without_credentials(source),
            });
        }
        let is_path = source.starts_with(['/', '~', '.']) || source.contains('/') && !source.contains("://");
        if is_path {
            return Ok(Self::Folder(source.to_owned()));
        }
        Err(not(
            WhyNotFetched::InvalidSource,
            format!(
                "Unable to parse extension source: {}. Expected formats: 'github:owner/repo', git URL, or local path",
                without_credentials(source)
            ),
        ))
    }

    /// Whether it is on another machine.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        matches!(self, Self::Repository { url, .. } if !url.starts_with("file://"))
    }

    /// The folder that is named.
    ///
    /// # Errors
    /// Where there is none.
    pub fn folder(&self) -> Result<PathBuf, NotFetched> {
        let Self::Folder(path) = self else {
            return Err(not(WhyNotFetched::InvalidSource, "Invalid plugin source."));
        };
        let home = || {
            child_environment::inherited()
                .find(|(name, _)| name == "HOME")
                .map(|(_, home)| PathBuf::from(home))
        };
        let path = match path.strip_prefix('~').map(|rest| rest.trim_start_matches('/')) {
            Some(rest) => home().unwrap_or_default().join(rest),
            None => std::path::absolute(path).unwrap_or_else(|_| path.into()),
        };
        let missing = |_| {
            let says = format!("Local extension path does not exist: {}", path.display());
            not(WhyNotFetched::SourceUnavailable, says)
        };
        path.canonicalize().map_err(missing)
    }

    /// A folder of what was fetched: the one that the source or the client names, or all of it.
    ///
    /// # Errors
    /// Where there is none, or it leads elsewhere.
    pub fn below(&self, fetched: PathBuf, path: Option<&str>) -> Result<PathBuf, NotFetched> {
        let path = path.filter(|path| !path.is_empty());
        let (path, within) = match self {
            Self::Folder(source) => (path, format!("local source '{source}'")),
            Self::Repository { path: Some(_), shown, .. } if path.is_some() => {
                let says = format!(
                    "GitHub shorthand {shown} already names a subdirectory; do not also pass repo_path"
                );
                return Err(not(WhyNotFetched::InvalidSource, says));
            }
            Self::Repository { path: own, .. } => {
                (path.or(own.as_deref()), "extension repository".to_owned())
            }
        };
        let Some(path) = path else { return Ok(fetched) };
        let missing = |says: &str| {
            not(WhyNotFetched::RepoPathNotFound, format!("Subdirectory '{path}' {says} {within}"))
        };
        let inside = path.trim_matches('/');
        if Path::new(inside).components().any(|part| part == Component::ParentDir) {
            return Err(missing("escapes"));
        }
        let found = fetched.join(inside).canonicalize().map_err(|_| missing("not found in"))?;
        let root = fetched.canonicalize().map_err(|_| missing("not found in"))?;
        if !found.starts_with(root) {
            return Err(missing("escapes"));
        }
        if found.is_dir() { Ok(found) } else { Err(missing("not found in")) }
    }

    /// What a folder is called that the whole of it comes into.
    #[must_use]
    pub fn name(&self) -> String {
        let Self::Repository { url, .. } = self else { return "extension".to_owned() };
        let path = url.trim_end_matches('/').trim_end_matches(".git");
        let last = path.rsplit(['/', ':']).next().unwrap_or_default();
        let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' };
        let name: String = last.chars().take(64).map(plain).collect();
        if name.trim_matches('.').is_empty() { "extension".to_owned() } else { name }
    }
}

/// `owner/repo`, `owner/repo@ref`, and each with a path after it.
fn of_github(short: &str, source: &str) -> Result<Source, NotFetched> {
    let mut parts = short.splitn(3, '/');
    let (owner, repository) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let path = parts.next().map(|path| path.trim_matches('/')).filter(|path| !path.is_empty());
    let (repository, reference) = match repository.split_once('@') {
        Some((repository, reference)) => (repository, Some(reference)),
        None => (repository, None),
    };
    let is_plain = |part: &str| {
        !part.trim_matches('.').is_empty()
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    if !is_plain(owner) || !is_plain(repository) {
        let says =
            format!("Invalid GitHub shorthand format: {source}. Expected format: github:owner/repo[/path]");
        return Err(not(WhyNotFetched::InvalidSource, says));
    }
    Ok(Source::Repository {
        url: format!("https://github.com/{owner}/{repository}.git"),
        reference: reference.map(str::to_owned),
        path: path.map(str::to_owned),
        shown: source.to_owned(),
    })
}

fn is_address(source: &str) -> bool {
    if ["https://", "http://", "git://", "file://"].iter().any(|scheme| source.starts_with(scheme)) {
        return true;
    }
    // user@host:path
    let Some((user, rest)) = source.split_once('@') else { return false };
    let is_word = |text: &str| {
        !text.is_empty()
            && !text.starts_with('-')
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    is_word(user) && rest.split_once(':').is_some_and(|(host, _)| is_word(host))
}

fn with_suffix(url: &str) -> String {
    let is_web = url.starts_with("https://") || url.starts_with("http://");
    if !is_web || url.ends_with(".git") {
        return url.to_owned();
    }
    let url = url.trim_end_matches('/');
    if url.contains("/_git/") { url.to_owned() } else { format!("{url}.git") }
}

#[must_use]
pub fn not(why: WhyNotFetched, says: impl Into<String>) -> NotFetched {
    NotFetched { why, says: says.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository(source: &str) -> (String, Option<String>, Option<String>) {
        match Source::parse(source).unwrap() {
            Source::Repository { url, reference, path, .. } => (url, reference, path),
            Source::Folder(path) => panic!("a folder: {path}"),
        }
    }

    #[test]
    fn what_is_named_is_a_folder_or_a_repository() {
        let own = |text: &str| Some(text.to_owned());
        let github = "https://github.com/o/r.git".to_owned();
        assert_eq!(repository("github:o/r"), (github.clone(), None, None));
        assert_eq!(repository("github:o/r/a/b/"), (github.clone(), None, own("a/b")));
        assert_eq!(repository(" github:o/r@v1/a "), (github.clone(), own("v1"), own("a")));
        assert_eq!(repository("https://github.com/o/r/").0, github);
        assert_eq!(repository("git@github.com:o/r.git").0, "git@github.com:o/r.git");
        assert_eq!(repository("https://dev.azure.com/o/p/_git/r").0, "https://dev.azure.com/o/p/_git/r");
        for path in ["/a", "~/a", "./a", "a/b"] {
            assert_eq!(Source::parse(path).unwrap(), Source::Folder(path.to_owned()));
        }
        for nothing in
            ["zzz", "", "github:o", "github:o/", "github:-/../r x", "ext::sh -c id", "--upload-pack=x@h:p"]
        {
            assert!(Source::parse(nothing).is_err(), "{nothing}");
        }
    }

    #[test]
    fn only_a_repository_of_another_machine_is_elsewhere() {
        let is_remote = |source: &str| Source::parse(source).is_ok_and(|source| source.is_remote());
        for there in ["github:o/r", " https://h.example/o/r ", "git@h.example:o/r.git"] {
            assert!(is_remote(there), "{there}");
        }
        for here in
            [" file:///a", "file:///a", "FILE:///a", " /a", "a@b/../../x", "@scope/x", "zzz", "ssh://h/a"]
        {
            assert!(!is_remote(here), "{here}");
        }
    }
}
