//! Trees as agents make them, by accident or not, and what is left of them.

use std::cell::Cell;
use std::fs;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use manyhands_trees::{remove, remove_while};
use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use testing::passes_unprivileged;

/// Makes folders below each other, each with a file and another folder beside the next.
fn dig(path: &Path, depth: usize) {
    let open =
        |at: &OwnedFd, name: &str| openat(at, name, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
    fs::create_dir_all(path).unwrap();
    let mut at = openat(CWD, path, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
    for _ in 0..depth {
        for name in ["beside", "next"] {
            mkdirat(&at, name, Mode::RWXU).unwrap();
        }
        let file = openat(&at, "file", OFlags::CREATE | OFlags::WRONLY, Mode::RUSR).unwrap();
        drop(file);
        at = open(&at, "next");
    }
}

fn is_gone(path: &Path) -> bool {
    fs::symlink_metadata(path).is_err_and(|error| error.kind() == ErrorKind::NotFound)
}

#[test]
fn a_tree_of_any_depth_is_removed_with_few_descriptors_on_a_small_stack() {
    // Some file systems make deep folders ever more slowly; there, a tenth is too deep for a recursion as well.
    let memory = Path::new("/dev/shm");
    let (folder, depth) = match memory.is_dir() {
        true => (tempfile::tempdir_in(memory).unwrap(), 30_000),
        false => (tempfile::tempdir().unwrap(), 3_000),
    };
    let top = folder.path().join("top");
    dig(&top, depth);
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(64), ..limit }).unwrap();
    let small = thread::Builder::new().stack_size(256 << 10);
    let path = top.clone();
    let removed = small.spawn(move || remove(&path)).unwrap().join().unwrap();
    setrlimit(Resource::Nofile, limit).unwrap();
    removed.unwrap();
    assert!(is_gone(&top));
}

#[test]
fn a_tree_takes_no_more_memory_the_deeper_it_is() {
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
    let top = folder.path().join("top");
    fs::create_dir(&top).unwrap();
    let mut at = openat(CWD, &top, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
    for _ in 0..100_000 {
        mkdirat(&at, "next", Mode::RWXU).unwrap();
        at = openat(&at, "next", OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
    }
    drop(at);
    let before = highest_memory();
    remove(&top).unwrap();
    let taken = highest_memory() - before;
    assert!(is_gone(&top));
    assert!(taken < 4 << 10, "{taken} KiB");
}

/// The most that this process had in memory so far, in KiB.
fn highest_memory() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn folders_whose_modes_forbid_it_are_emptied_by_their_owner() {
    passes_unprivileged("remove::removal_of_forbidding_folders");
}

#[test]
#[ignore = "run by another test, in a process that may not do everything"]
fn removal_of_forbidding_folders() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let top = folder.path().join("top");
    for name in ["read-only/module", "closed/module", "deep/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r/s"] {
        fs::create_dir_all(top.join(name)).unwrap();
        fs::write(top.join(name).join("file"), "text").unwrap();
    }
    let forbid =
        |name: &str, mode| fs::set_permissions(top.join(name), fs::Permissions::from_mode(mode)).unwrap();
    forbid("read-only/module", 0o555);
    forbid("read-only", 0o555);
    forbid("closed/module", 0o000);
    forbid("closed", 0o000);
    let mut deep = "deep/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r/s".to_owned();
    while let Some((above, _)) = deep.clone().rsplit_once('/') {
        forbid(&deep, 0o500);
        above.clone_into(&mut deep);
    }
    forbid("", 0o500);
    fs::write(top.join("file"), "").expect_err("the modes count for this process");
    remove(&top).unwrap();
    assert!(is_gone(&top));
}

#[test]
fn a_wide_tree_of_deep_folders_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let top = folder.path().join("top");
    for number in 0..30 {
        dig(&top.join(number.to_string()), 40);
    }
    for number in 0..2_000 {
        fs::write(top.join(format!("file {number}")), "").unwrap();
    }
    remove(&top).unwrap();
    assert!(is_gone(&top));
}

#[test]
fn what_links_lead_to_stays() {
    let folder = tempfile::tempdir().unwrap();
    let (top, outside) = (folder.path().join("top"), folder.path().join("outside"));
    fs::create_dir_all(top.join("a/b")).unwrap();
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("kept"), "kept").unwrap();
    for link in ["link", "a/link", "a/b/link"] {
        symlink(&outside, top.join(link)).unwrap();
    }
    symlink("nowhere", top.join("broken")).unwrap();
    remove(&top).unwrap();
    assert!(is_gone(&top));
    let link = folder.path().join("link");
    symlink(&outside, &link).unwrap();
    remove(&link).unwrap();
    assert!(is_gone(&link));
    assert_eq!(fs::read_to_string(outside.join("kept")).unwrap(), "kept");
}

#[test]
fn files_are_removed_and_what_is_absent_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "x").unwrap();
    remove(&file).unwrap();
    assert!(is_gone(&file));
    remove(&file).unwrap();
    remove(&folder.path().join("absent/absent")).unwrap();
    assert!(folder.path().exists());
}

#[test]
fn a_tree_that_changes_meanwhile_is_removed_once_it_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (top, over) = (folder.path().join("top"), AtomicBool::new(false));
    let made = AtomicUsize::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0_usize.. {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                // Each of them may fail: what it is in may have just gone.
                let _ = fs::create_dir_all(top.join(format!("{}/{}/c", number % 7, number % 3)));
                let _ = fs::write(top.join(format!("{}/file", number % 7)), "x");
                let _ = fs::rename(top.join("1/2"), top.join("4/moved"));
                let _ = fs::rename(top.join("3"), top.join("5/1/c/d"));
                made.store(number, Ordering::SeqCst);
            }
        });
        for round in 1..50 {
            while made.load(Ordering::SeqCst) < round * 3 {
                thread::yield_now();
            }
            // It ends, whether it could keep up or not.
            let _ = remove(&top);
        }
        over.store(true, Ordering::SeqCst);
    });
    remove(&top).unwrap();
    assert!(is_gone(&top));
}

#[test]
fn a_folder_that_is_moved_away_below_the_walk_takes_nobody_elses_files_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let (top, elsewhere) = (folder.path().join("top"), folder.path().join("elsewhere"));
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("kept"), "kept").unwrap();
    // Deeper than what is gone into, so that the walk must rename what is below.
    dig(&top, 60);
    let deep = top.join(["next"; 8].join("/"));
    let (bottom, is_moved) = (deep.join(["next"; 30].join("/")), Cell::new(false));
    let removed = remove_while(&top, || {
        // Once the lowest folders are not there any more, the walk is in the middle of those above.
        if !is_moved.get() && !bottom.exists() {
            fs::rename(&deep, elsewhere.join("moved")).unwrap();
            is_moved.set(true);
        }
        true
    });
    assert!(is_moved.get());
    removed.unwrap();
    assert!(is_gone(&top));
    assert_eq!(fs::read_to_string(elsewhere.join("kept")).unwrap(), "kept");
}

#[test]
fn what_cannot_be_removed_does_not_keep_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let top = folder.path().join("top");
    for name in ["a", "held", "z"] {
        fs::create_dir_all(top.join(name).join("below")).unwrap();
    }
    let mount = || {
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "none"]).arg(top.join("held/below")).status()
    };
    if !mount().is_ok_and(|status| status.success()) {
        assert_eq!(std::env::var("MANYHANDS_MAY_SKIP").as_deref(), Ok("1"), "this user may not mount");
        return;
    }
    fs::write(top.join("held/below/kept"), "of another file system").unwrap();
    let refused = remove(&top);
    let kept = fs::read_to_string(top.join("held/below/kept"));
    let unmounted = Command::new("umount").arg(top.join("held/below")).status();
    assert!(unmounted.unwrap().success());
    assert!(refused.is_err());
    assert_eq!(kept.unwrap(), "of another file system");
    assert!(is_gone(&top.join("a")) && is_gone(&top.join("z")));
    remove(&top).unwrap();
    assert!(is_gone(&top));
}

#[test]
fn a_removal_ends_when_it_is_told_to_and_can_be_finished_later() {
    let folder = tempfile::tempdir().unwrap();
    let top = folder.path().join("top");
    dig(&top, 100);
    let steps = AtomicUsize::new(0);
    let ended = remove_while(&top, || steps.fetch_add(1, Ordering::SeqCst) < 50);
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::Interrupted);
    remove(&top).unwrap();
    assert!(is_gone(&top));
}
