//! What tools keep in the conversation's own folder goes with it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use manyhands_tools::{put_all_back, put_back, remove_set_aside, set_aside};
use testing::passes_unprivileged;
use uuid::Uuid;

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
    set_aside(&folder, Uuid::new_v4(), || true).unwrap();
    // So slow that another one begins before it.
    keep(&folder, "later");
    remove_set_aside(&folder).unwrap();
    assert_eq!(names(&folder), ["TASKS.json", "edits", "observations"]);
    assert_eq!(fs::read_to_string(folder.join("TASKS.json")).unwrap(), "later");
    for name in ["observations", "edits"] {
        assert_eq!(names(&folder.join(name)), ["later"]);
    }
    set_aside(&folder, Uuid::new_v4(), || true).unwrap();
    remove_set_aside(&folder).unwrap();
    assert!(!folder.exists());
}

#[test]
fn what_was_set_aside_for_a_deletion_that_is_given_up_is_there_again_and_nothing_of_another_one() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("own");
    let [given_up, other] = [Uuid::new_v4(), Uuid::new_v4()];
    keep(&folder, "of another");
    set_aside(&folder, other, || true).unwrap();
    keep(&folder, "own");
    fs::remove_file(folder.join("TASKS.json")).unwrap();
    set_aside(&folder, given_up, || true).unwrap();
    put_back(&folder, given_up).unwrap();
    assert!(folder.join("observations/own").exists() && folder.join("edits/own").exists());
    assert!(!folder.join("TASKS.json").exists());
    // What was made meanwhile stays.
    set_aside(&folder, given_up, || true).unwrap();
    keep(&folder, "later");
    put_back(&folder, given_up).unwrap();
    assert_eq!(names(&folder.join("edits")), ["later"]);
}

#[test]
fn of_all_that_deletions_have_set_aside_the_latest_is_there_again() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("own");
    put_all_back(&folder).unwrap();
    for text in ["earlier", "later"] {
        keep(&folder, text);
        set_aside(&folder, Uuid::new_v4(), || true).unwrap();
    }
    fs::create_dir(folder.join("edits")).unwrap();
    put_all_back(&folder).unwrap();
    assert_eq!(names(&folder), ["TASKS.json", "edits", "observations"]);
    assert_eq!(fs::read_to_string(folder.join("TASKS.json")).unwrap(), "later");
    assert_eq!(names(&folder.join("observations")), ["later"]);
    assert_eq!(names(&folder.join("edits")), [""; 0], "what was made meanwhile stays");
}

#[test]
fn what_an_agent_has_forbidden_to_write_is_set_aside_all_the_same() {
    passes_unprivileged("kept::setting_aside_in_a_forbidding_folder");
}

#[test]
#[ignore = "run by another test, in a process that may not do everything"]
fn setting_aside_in_a_forbidding_folder() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("own");
    keep(&folder, "earlier");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o555)).unwrap();
    fs::write(folder.join("file"), "").expect_err("the modes count for this process");
    set_aside(&folder, Uuid::new_v4(), || true).unwrap();
    remove_set_aside(&folder).unwrap();
    assert!(!folder.exists());
}
