//! What keeps the workspace in its shape: which crate may use which, that no folders import each other in a circle,
//! how long files are, what is written beside the code, how files of agents are read, and that documents list what there is.

mod circles;
mod dependencies;
mod documents;
mod paths;
mod reads;
mod sizes;
mod words;

use std::process::Command;

/// The source files of the workspace, also those that are not added to git yet, and their texts.
fn sources() -> Vec<(String, String)> {
    let which = ["ls-files", "--cached", "--others", "--exclude-standard", "*.rs"];
    let listed = Command::new("git").args(which).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let read = |path: &str| Some((path.to_owned(), std::fs::read_to_string(path).ok()?));
    listed.lines().filter_map(read).collect()
}
