//! What tools keep in the conversation's own folder goes with it.

use std::fs;
use std::path::Path;

use manyhands_tools::{remove_set_aside, set_aside};

fn keep(folder: &Path, text: &str) {
    for name in ["observations", "edits"] {
        fs::create_dir_all(folder.join(name)).unwrap();
        fs::write(folder.join(name).join(text), text).unwrap();
    }
    fs::write(folder.join("TASKS.json"), text).unwrap();
}

fn names(folder: &Path) -> Vec<String> {
    let found = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = found.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn files_kept_for_a_conversation_made_anew_outlive_a_slow_removal_of_the_earlier_ones() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("own");
    keep(&folder, "earlier");
    set_aside(&folder).unwrap();
    // So slow that another one begins before it.
    keep(&folder, "later");
    remove_set_aside(&folder).unwrap();
    assert_eq!(names(&folder), ["TASKS.json", "edits", "observations"]);
    assert_eq!(fs::read_to_string(folder.join("TASKS.json")).unwrap(), "later");
    for name in ["observations", "edits"] {
        assert_eq!(names(&folder.join(name)), ["later"]);
    }
    set_aside(&folder).unwrap();
    remove_set_aside(&folder).unwrap();
    assert!(!folder.exists());
}
