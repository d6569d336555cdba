//! What is made for another user than the worker runs as.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::path::Path;

use manyhands_tools::folder::Folder;
use manyhands_tools::hands;
use rustix::process::geteuid;
use types::placement::CommandUser;

const USER: u32 = 10_001;

fn owner(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().uid()
}

/// Whether there can be another user here.
fn has_user(test: &str) -> bool {
    if !geteuid().is_root() {
        testing::may_skip(test, "only root may give files away");
        return false;
    }
    hands::choose(CommandUser { uid: USER, gid: USER }).is_ok()
}

#[test]
fn folders_are_made_where_they_are_named_and_not_where_links_lead_out_of_what_is_the_users() {
    if !has_user("folders_are_made_where_they_are_named") {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let root = root.path().canonicalize().unwrap();
    let (workspace, private) = (root.join("workspace"), root.join("private"));
    fs::create_dir(&private).unwrap();
    hands::make_folders(&workspace.join("a/b")).unwrap();
    assert_eq!((owner(&root), owner(&workspace), owner(&workspace.join("a/b"))), (0, USER, USER));
    symlink(&private, workspace.join("out")).unwrap();
    symlink(workspace.join("a"), workspace.join("in")).unwrap();
    assert!(hands::make_folders(&workspace.join("out/x/y")).is_err());
    assert!(Folder::open(&workspace.join("out")).is_err() && Folder::of_user(&private).is_err());
    assert_eq!(fs::read_dir(&private).unwrap().count(), 0);
    hands::make_folders(&workspace.join("in/x/y")).unwrap();
    assert_eq!(owner(&workspace.join("a/x/y")), USER);
    hands::make_folders(&private.join("x")).unwrap();
    assert_eq!(owner(&private.join("x")), USER, "it was named itself");
}

#[test]
fn a_new_folder_is_the_users_once_it_is_given_and_whatever_its_name_leads_to_meanwhile() {
    if !has_user("a_new_folder_is_the_users_once_it_is_given") {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let root = root.path().canonicalize().unwrap();
    chown(&root, Some(USER), Some(USER)).unwrap();
    fs::create_dir(root.join("private")).unwrap();
    let folder = Folder::open(&root).unwrap();
    let made = folder.fresh("new".as_ref()).unwrap();
    assert_eq!(owner(&root.join("new")), 0);
    fs::rename(root.join("new"), root.join("moved")).unwrap();
    symlink(root.join("private"), root.join("new")).unwrap();
    fs::write(made.path().join("a"), "").unwrap();
    made.give().unwrap();
    assert_eq!((owner(&root.join("moved")), owner(&root.join("private"))), (USER, 0));
    assert!(root.join("moved/a").exists());
}
