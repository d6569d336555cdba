//! Files and folders over the API.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use crate::services::World;
use bytes::Bytes;
use ports::rpc::{Code, Fault};
use types::calls::{FileCall, FileStat, HomeListing, Scope, UploadBegun, UploadDone};
use types::files::SubdirectoryPage;

fn all() -> Scope {
    Scope::default()
}

fn bad(message: &str) -> Fault {
    Fault::new(Code::BadRequest, message)
}

fn outside() -> Fault {
    Fault::new(Code::Invalid, "path must be inside the conversation workspace")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_uploaded_file_comes_back_as_it_was() {
    let world = World::start().await;
    let content: Vec<u8> = (0..1_300_000_u32).flat_map(u32::to_le_bytes).collect();
    let path = world.text("deep/er/ü n.bin");

    assert_eq!(world.upload(&all(), &path, &content).await.unwrap(), content.len() as u64);

    assert!(world.download(&path).await.unwrap() == content);
    assert_eq!(fs::read_dir(world.path("deep/er")).unwrap().count(), 1, "no temporary file is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_sees_half_an_upload() {
    let world = World::start().await;
    let path = world.text("a.txt");
    fs::write(&path, "old").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o751)).unwrap();

    let begin = FileCall::Begin { scope: all(), path: path.clone() };
    let (UploadBegun { upload }, _) = world.file(begin, Bytes::new()).await.unwrap();
    // Pieces may come in any order.
    for (offset, piece) in [(4, "er text"), (0, "long")] {
        let write = FileCall::Write { upload: upload.clone(), offset };
        world.file::<()>(write, Bytes::from(piece)).await.unwrap();
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), "old");
    let commit = FileCall::Commit { upload: upload.clone() };
    let (done, _) = world.file::<UploadDone>(commit.clone(), Bytes::new()).await.unwrap();

    assert_eq!(done.size, 11);
    assert_eq!(fs::read_to_string(&path).unwrap(), "longer text");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o751);
    let again = world.file::<()>(commit, Bytes::new()).await.unwrap_err();
    assert_eq!(again.code, Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aborted_upload_leaves_nothing() {
    let world = World::start().await;
    let begin = FileCall::Begin { scope: all(), path: world.text("a.txt") };
    let (UploadBegun { upload }, _) = world.file(begin, Bytes::new()).await.unwrap();
    assert_eq!(fs::read_dir(world.path("")).unwrap().count(), 1);
    for _ in 0..2 {
        world.file::<()>(FileCall::Abort { upload: upload.clone() }, Bytes::new()).await.unwrap();
    }
    assert_eq!(fs::read_dir(world.path("")).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn unfinished_uploads_end_with_the_worker() {
    let world = World::start().await;
    let begin = FileCall::Begin { scope: all(), path: world.text("a.txt") };
    world.file::<UploadBegun>(begin, Bytes::new()).await.unwrap();
    world.stop().await;
    assert_eq!(fs::read_dir(world.path("")).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_to_impossible_places_say_why() {
    let world = World::start().await;
    fs::write(world.path("file"), "").unwrap();
    fs::create_dir(world.path("folder")).unwrap();
    let upload = async |path: &str| world.upload(&all(), path, b"x").await.unwrap_err();

    assert_eq!(upload(&world.text("folder")).await, bad("Path is a directory"));
    assert_eq!(upload("/").await, bad("Path is a directory"));
    assert_eq!(upload(&world.text("file/below")).await, bad("A parent of the path is not a directory"));
    assert_eq!(upload("relative.txt").await, bad("Path must be absolute"));
    assert_eq!(upload("").await, bad("Path must be absolute"));
    assert_eq!(upload("/tmp/a\0b").await.code, Code::BadRequest);
    assert_eq!(upload(&world.text(&"n".repeat(300))).await.code, Code::BadRequest);
    assert_eq!(upload("/dev/null").await, bad("Path is not a file"));
    assert!(matches!(upload("/proc/new").await.code, Code::Forbidden | Code::NotFound));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_through_a_symlink_keeps_the_symlink() {
    let world = World::start().await;
    fs::write(world.path("real"), "old").unwrap();
    symlink("real", world.path("link")).unwrap();
    world.upload(&all(), &world.text("link"), b"new").await.unwrap();
    assert_eq!(fs::read_to_string(world.path("real")).unwrap(), "new");
    assert!(fs::symlink_metadata(world.path("link")).unwrap().is_symlink());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_300_mb_upload_needs_constant_memory() {
    const PIECE: usize = 512 * 1024;
    let world = World::start().await;
    let begin = FileCall::Begin { scope: all(), path: world.text("big") };
    let (UploadBegun { upload }, _) = world.file(begin, Bytes::new()).await.unwrap();
    let before = resident();
    let piece = Bytes::from(vec![7; PIECE]);
    for index in 0..600_u64 {
        let write = FileCall::Write { upload: upload.clone(), offset: index * PIECE as u64 };
        world.file::<()>(write, piece.clone()).await.unwrap();
    }
    let (done, _) = world.file::<UploadDone>(FileCall::Commit { upload }, Bytes::new()).await.unwrap();
    let stat = world.stat(&all(), &world.text("big")).await.unwrap();
    for index in 0..600_u64 {
        world.read(&all(), &world.text("big"), &stat, index * PIECE as u64, PIECE as u64).await.unwrap();
    }
    let grown = resident().saturating_sub(before);
    assert_eq!(done.size, 600 * PIECE as u64);
    assert!(grown < 20 * 1024 * 1024, "grew by {grown} bytes");
}

fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/statm").unwrap();
    status.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_stops_a_download() {
    let world = World::start().await;
    let path = world.text("a.txt");
    fs::write(&path, "first").unwrap();
    let stat = world.stat(&all(), &path).await.unwrap();
    assert_eq!(world.read(&all(), &path, &stat, 0, 3).await.unwrap(), "fir");

    fs::write(&path, "other text").unwrap();

    let changed = world.read(&all(), &path, &stat, 3, 10).await.unwrap_err();
    assert_eq!(changed.code, Code::Conflict);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_goes_on_with_the_file_it_began_with() {
    let world = World::start().await;
    let path = world.text("a.txt");
    world.upload(&all(), &path, b"first").await.unwrap();
    let stat = world.stat(&all(), &path).await.unwrap();

    world.upload(&all(), &path, b"other").await.unwrap();

    assert_eq!(world.read(&all(), &path, &stat, 0, 10).await.unwrap(), "first");
    assert_eq!(world.download(&path).await.unwrap(), b"other");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stamp_of_another_file_is_refused() {
    let world = World::start().await;
    fs::write(world.path("a"), "a").unwrap();
    fs::write(world.path("b"), "b").unwrap();
    let a = world.stat(&all(), &world.text("a")).await.unwrap();
    let refused = world.read(&all(), &world.text("b"), &a, 0, 1).await.unwrap_err();
    assert_eq!(refused.code, Code::Conflict);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_file_is_named() {
    let world = World::start().await;
    symlink("nowhere", world.path("dangling")).unwrap();
    world.sh("mkfifo pipe; mkdir d");
    let stat = async |path: &str| world.stat(&all(), path).await;

    assert!(stat(&world.text("d")).await.unwrap().is_dir);
    assert_eq!(stat(&world.text("missing")).await.unwrap_err(), Fault::new(Code::NotFound, "File not found"));
    assert_eq!(
        stat(&world.text("dangling")).await.unwrap_err(),
        Fault::new(Code::NotFound, "File not found")
    );
    assert_eq!(stat(&world.text("pipe")).await.unwrap_err(), bad("Path is not a file"));
    assert_eq!(stat("relative").await.unwrap_err(), bad("Path must be absolute"));
    assert_eq!(stat("/a\0b").await.unwrap_err().code, Code::BadRequest);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_proc_is_read_to_its_end() {
    let world = World::start().await;
    let stat = world.stat(&all(), "/proc/version").await.unwrap();
    assert!(!stat.sized);
    assert_eq!(world.download("/proc/version").await.unwrap(), fs::read("/proc/version").unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_memory_of_the_worker_is_no_file_of_anybodys() {
    static SECRET: &str = "what the worker knows";
    let world = World::start().await;
    let (link, address) = (world.text("file"), SECRET.as_ptr() as u64);
    // As large as the memory that a process can have.
    fs::File::create("/dev/shm/manyhands-test-of-memory").unwrap().set_len(1 << 48).unwrap();
    symlink("/dev/shm/manyhands-test-of-memory", &link).unwrap();
    let stat = world.stat(&all(), &link).await;
    fs::remove_file(&link).unwrap();
    symlink("/proc/self/mem", &link).unwrap();
    fs::remove_file("/dev/shm/manyhands-test-of-memory").unwrap();
    // The file that was looked at is held open, but not for ever.
    for number in 0..100 {
        let other = world.text(&number.to_string());
        fs::write(&other, "other").unwrap();
        world.stat(&all(), &other).await.unwrap();
    }

    let read = world.read(&all(), &link, &stat.unwrap(), address, SECRET.len() as u64).await;

    assert_eq!(read, Err(bad("Path is not a file")));
    let threads = fs::read_dir("/proc/self/task").unwrap().map(|thread| thread.unwrap().file_name());
    let threads: Vec<String> = threads.map(|thread| thread.into_string().unwrap()).collect();
    for name in threads.iter().map(String::as_str).chain(["self", "thread-self"]) {
        for file in ["mem", "maps", "environ"] {
            let path = format!("/proc/{name}/{file}");
            assert_eq!(world.stat(&all(), &path).await.unwrap_err(), bad("Path is not a file"), "{path}");
        }
    }
    assert!(world.upload(&all(), "/proc/self/mem", b"x").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_proc_that_took_the_place_of_another_is_not_read() {
    let world = World::start().await;
    let link = world.text("file");
    fs::write(world.path("real"), "real content").unwrap();
    symlink("real", &link).unwrap();
    let stat = world.stat(&all(), &link).await.unwrap();
    fs::remove_file(&link).unwrap();
    symlink("/proc/version", &link).unwrap();
    for number in 0..100 {
        let other = world.text(&number.to_string());
        fs::write(&other, "other").unwrap();
        world.stat(&all(), &other).await.unwrap();
    }
    let read = world.read(&all(), &link, &stat, 4, 4).await.unwrap_err();
    assert_eq!(read.code, Code::Conflict);
}

#[tokio::test(flavor = "multi_thread")]
async fn traversal_and_symlinks_do_not_leave_the_workspace() {
    let world = World::start().await;
    let (scope, secret) = (world.scope(), world.dir.path().canonicalize().unwrap().join("secret"));
    fs::write(&secret, "s").unwrap();
    fs::create_dir(world.path("in")).unwrap();
    fs::write(world.path("in/ok"), "ok").unwrap();
    symlink("in/ok", world.path("inner")).unwrap();
    symlink(world.path("in"), world.path("inner-folder")).unwrap();
    symlink("../secret", world.path("out")).unwrap();
    symlink(secret.parent().unwrap(), world.path("out-folder")).unwrap();
    symlink("../new", world.path("out-new")).unwrap();
    symlink("loop", world.path("loop")).unwrap();

    for path in ["inner", "inner-folder/ok", "in/../in/ok", "in//./ok"] {
        assert!(world.stat(&scope, &world.text(path)).await.is_ok(), "{path}");
    }
    let beside = format!("{}-other/x", world.text("").trim_end_matches('/'));
    for path in ["../secret", "out", "out-folder/secret", "in/../../secret", "missing/../../secret"] {
        assert_eq!(world.stat(&scope, &world.text(path)).await.unwrap_err(), outside(), "{path}");
        assert_eq!(world.upload(&scope, &world.text(path), b"x").await.unwrap_err(), outside(), "{path}");
    }
    for path in [world.text("out-new"), world.text("out-folder/new/deep"), beside, "/etc/passwd".into()] {
        assert_eq!(world.upload(&scope, &path, b"x").await.unwrap_err(), outside(), "{path}");
        let make = FileCall::MakeDirectory { scope: scope.clone(), path: path.clone() };
        assert_eq!(world.file::<()>(make, Bytes::new()).await.unwrap_err(), outside(), "{path}");
    }
    assert_eq!(world.stat(&scope, &world.text("loop")).await.unwrap_err().code, Code::BadRequest);
    assert_eq!(fs::read_to_string(&secret).unwrap(), "s");
    assert!(world.stat(&scope, &world.text("")).await.unwrap().is_dir);
    world.upload(&scope, &world.text("new/er"), b"x").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn making_a_folder_may_be_repeated() {
    let world = World::start().await;
    fs::write(world.path("file"), "").unwrap();
    let make = async |path: String| {
        world.file::<()>(FileCall::MakeDirectory { scope: all(), path }, Bytes::new()).await.map(|_| ())
    };
    for _ in 0..2 {
        make(world.text("a/b c/ü")).await.unwrap();
    }
    assert!(world.path("a/b c/ü").is_dir());
    assert_eq!(make(world.text("file")).await.unwrap_err(), bad("Path exists and is not a directory"));
    assert_eq!(make(world.text("file/x")).await.unwrap_err(), bad("A parent of the path is not a directory"));
    assert_eq!(make("a".into()).await.unwrap_err(), bad("Path must be absolute"));
}

#[tokio::test(flavor = "multi_thread")]
async fn subfolders_are_paged_by_name() {
    let world = World::start().await;
    world.sh("mkdir Beta alpha Alpha gamma .hidden; touch file; ln -s alpha link");
    let list = async |path: String, page_id: Option<&str>, limit, include_hidden| {
        let page_id = page_id.map(str::to_owned);
        let call = FileCall::Subdirectories { path, page_id, limit, include_hidden };
        let (page, _) = world.file::<SubdirectoryPage>(call, Bytes::new()).await?;
        let names: Vec<_> = page.items.into_iter().map(|item| item.name).collect();
        Ok::<_, Fault>((names.join(" "), page.next_page_id))
    };
    let root = world.text("");

    assert_eq!(list(root.clone(), None, 100, false).await.unwrap(), ("Alpha alpha Beta gamma".into(), None));
    assert_eq!(list(root.clone(), None, 1, true).await.unwrap(), (".hidden".into(), Some("Alpha".into())));
    assert_eq!(
        list(root.clone(), Some("alpha"), 2, false).await.unwrap(),
        ("alpha Beta".into(), Some("gamma".into()))
    );
    assert_eq!(list(root.clone(), Some("beta"), 2, false).await.unwrap(), ("Beta gamma".into(), None));
    assert_eq!(list(root, Some("gone"), 1, false).await.unwrap().0, "Alpha");
    assert_eq!(list("x".into(), None, 1, false).await.unwrap_err(), bad("Path must be absolute"));
    assert_eq!(list(world.text("none"), None, 1, false).await.unwrap_err().code, Code::NotFound);
    assert_eq!(list(world.text("file"), None, 1, false).await.unwrap_err().code, Code::BadRequest);
}

#[tokio::test(flavor = "multi_thread")]
async fn home_lists_its_folders() {
    let world = World::start().await;
    let (home, _) =
        world.file::<HomeListing>(FileCall::Home { include_hidden: false }, Bytes::new()).await.unwrap();
    assert!(home.home.starts_with('/'));
    assert_eq!(home.locations.len(), 1);
    assert!(
        home.favorites
            .iter()
            .all(|entry| entry.path.ends_with(&entry.label) && !entry.label.starts_with('.'))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relative_path_is_in_no_workspace_of_a_conversation() {
    let world = World::start().await;
    for relative in ["a", "", "./a"] {
        let upload = world.upload(&world.scope(), relative, b"x").await;
        assert_eq!(upload.unwrap_err(), outside(), "{relative:?}");
        let stat = FileCall::Stat { scope: world.scope(), path: relative.to_owned() };
        assert_eq!(world.file::<FileStat>(stat, Bytes::new()).await.unwrap_err(), outside(), "{relative:?}");
        let make = FileCall::MakeDirectory { scope: world.scope(), path: relative.to_owned() };
        assert_eq!(world.file::<()>(make, Bytes::new()).await.unwrap_err(), outside(), "{relative:?}");
    }
}
