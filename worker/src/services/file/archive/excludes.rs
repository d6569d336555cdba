//! What stays out of an archive.

mod glob;

use std::path::Path;

use glob::Glob;

const DEFAULTS: [&str; 13] = [
    ".git/",
    "node_modules/",
    ".venv/",
    "venv/",
    "__pycache__/",
    ".mypy_cache/",
    ".pytest_cache/",
    ".ruff_cache/",
    "dist/",
    "build/",
    ".next/",
    "target/",
    "*.pyc",
];

/// Files of a repository that hold credentials or what was done where.
const PRIVATE: [&str; 5] = ["config", "config.worktree", "credentials", ".git-credentials", "FETCH_HEAD"];

pub(super) struct Excludes {
    patterns: Vec<Pattern>,
}

struct Pattern {
    text: String,
    /// One for a name that may be anywhere; several begin at the root.
    segments: Vec<Glob>,
    anchored: bool,
    only_folders: bool,
}

impl Excludes {
    pub(super) fn new(more: &[String], with_defaults: bool) -> Self {
        let defaults = DEFAULTS.iter().filter(|_| with_defaults).map(|text| (*text).to_owned());
        let patterns = defaults.chain(more.iter().cloned()).filter(|text| !text.trim_matches('/').is_empty());
        Self { patterns: patterns.map(Pattern::new).collect() }
    }

    pub(super) fn texts(&self) -> Vec<&str> {
        self.patterns.iter().map(|pattern| pattern.text.as_str()).collect()
    }

    /// Whether a path relative to the archive's root stays out, itself or because of a folder it is in.
    pub(super) fn has(&self, path: &Path, is_folder: bool) -> bool {
        let names: Vec<_> =
            path.iter().map(|name| name.to_string_lossy().chars().collect::<Vec<_>>()).collect();
        is_private(path) || self.patterns.iter().any(|pattern| pattern.matches(&names, is_folder))
    }
}

impl Pattern {
    fn new(text: String) -> Self {
        let only_folders = text.ends_with('/');
        let anchored = text.trim_end_matches('/').contains('/');
        let segments = text.split('/').filter(|part| !part.is_empty()).map(Glob::new).collect();
        Self { text, segments, anchored, only_folders }
    }

    fn matches(&self, names: &[Vec<char>], is_folder: bool) -> bool {
        // A name that others follow is that of a folder.
        let fits = |length: usize| !self.only_folders || is_folder || length < names.len();
        if self.anchored {
            let count = self.segments.len();
            let Some(start) = names.get(..count) else { return false };
            return fits(count)
                && self.segments.iter().zip(start).all(|(pattern, name)| pattern.matches(name));
        }
        let Some(pattern) = self.segments.first() else { return false };
        names.iter().enumerate().any(|(index, name)| fits(index + 1) && pattern.matches(name))
    }
}

fn is_private(path: &Path) -> bool {
    let mut names = path.iter().map(|name| name.to_string_lossy());
    while names.any(|name| name == ".git") {
        let inside: Vec<_> = names.clone().collect();
        if inside.last().is_some_and(|name| PRIVATE.contains(&name.as_ref()))
            || inside.iter().any(|name| name == "logs")
        {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excluded(pattern: &str, path: &str, is_folder: bool) -> bool {
        Excludes::new(&[pattern.to_owned()], false).has(Path::new(path), is_folder)
    }

    #[test]
    fn a_bare_name_matches_anywhere() {
        assert!(excluded("*.pyc", "a/b/c.pyc", false));
        assert!(excluded("tmp", "a/tmp/c", false));
        assert!(!excluded("tmp", "a/tmpx", false));
    }

    #[test]
    fn a_slash_at_the_end_means_folders() {
        assert!(excluded("dist/", "a/dist", true));
        assert!(excluded("dist/", "dist/x", false));
        assert!(!excluded("dist/", "a/dist", false));
    }

    #[test]
    fn a_slash_inside_anchors_at_the_root() {
        assert!(excluded("a/*.log", "a/x.log", false));
        assert!(!excluded("a/*.log", "b/a/x.log", false));
        assert!(!excluded("a/*.log", "a/b/x.log", false));
        assert!(excluded("/top", "top", false) && !excluded("a/b/", "a/b", false));
    }

    #[test]
    fn classes_and_question_marks_match_one_character() {
        assert!(excluded("a[0-9]?", "a1x", false) && !excluded("a[!0-9]", "a1", false));
        assert!(excluded("[]]", "]", false) && excluded("[x", "[x", false));
    }

    #[test]
    fn no_pattern_takes_long_to_say_no() {
        let begun = std::time::Instant::now();
        let stars = "*a".repeat(60) + "b";
        assert!(!excluded(&stars, &"a".repeat(255), false));
        let classes = "*[!b]".repeat(60) + "b";
        assert!(!excluded(&classes, &"a".repeat(255), false));
        assert!(begun.elapsed() < std::time::Duration::from_secs(5), "{:?}", begun.elapsed());
    }

    #[test]
    fn credentials_in_a_repository_stay_out_always() {
        assert!(excluded("none", "x/.git/config", false) && excluded("none", ".git/logs/HEAD", false));
        assert!(!excluded("none", ".git/HEAD", false) && !excluded("none", "config", false));
    }
}
