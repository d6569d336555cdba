//! What keeps the workspace in its shape: which crate may use which, that no folders import each other in a circle,
//! how long files are, and what is written beside the code.

mod circles;
mod dependencies;
mod paths;
mod sizes;
mod words;

use std::process::Command;

/// The source files of the workspace, and their texts.
fn sources() -> Vec<(String, String)> {
    let listed = Command::new("git").args(["ls-files", "*.rs"]).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let read = |path: &str| Some((path.to_owned(), std::fs::read_to_string(path).ok()?));
    listed.lines().filter_map(read).collect()
}
