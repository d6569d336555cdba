//! Paths as models give them, and as they are shown.

use std::path::{Component, Path, PathBuf};

use types::resources::Resource;

/// Where `path` leads from the working directory.
#[must_use]
pub fn at(working_dir: &Path, path: impl AsRef<Path>) -> PathBuf {
    // Collected again it has no `.` in it, and is written in one way alone.
    working_dir.join(path).components().collect()
}

/// What a call holds that changes these files.
#[must_use]
pub fn held(working_dir: &Path, paths: impl IntoIterator<Item = impl AsRef<Path>>) -> Vec<Resource> {
    paths.into_iter().map(|path| Resource::File(without_detours(&at(working_dir, path)))).collect()
}

/// The path without `..`, as if no folder on it were a link.
fn without_detours(path: &Path) -> PathBuf {
    let mut short = PathBuf::new();
    for part in path.components() {
        if part == Component::ParentDir {
            short.pop();
        } else {
            short.push(part);
        }
    }
    short
}

/// A path on one line, whatever is in its name.
#[must_use]
pub fn shown(path: &Path) -> String {
    let text = path.to_string_lossy();
    if !text.contains(char::is_control) {
        return text.into_owned();
    }
    let letter = |letter: char| match letter.is_control() {
        true => letter.escape_default().to_string(),
        false => letter.to_string(),
    };
    text.chars().map(letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_file_is_held_under_one_name() {
        let held = |path: &str| held(Path::new("/ws"), [path]);
        assert_eq!(held("a//./b/../c"), [Resource::File("/ws/a/c".into())]);
        assert_eq!(held("/ws/a/c"), held("a/c"));
        assert_eq!(held("../../x"), [Resource::File("/x".into())]);
    }

    #[test]
    fn a_name_with_a_newline_is_shown_on_one_line() {
        assert_eq!(shown(Path::new("/a\nb/ä")), "/a\\nb/ä");
    }
}
