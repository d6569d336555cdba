//! Archives of folders.

use std::fs;

use crate::services::{World, eventually};
use bytes::Bytes;
use ports::rpc::{Code, Fault};
use serde_json::Value;
use types::calls::{Archive, FileCall, Scope};

struct Made {
    about: Archive,
    bytes: Vec<u8>,
}

fn ticket() -> String {
    types::EventId::random().to_string()
}

async fn archive(
    world: &World,
    path: &str,
    format: &str,
    base_ref: Option<&str>,
    exclude: &[&str],
) -> Result<Made, Fault> {
    let ticket = ticket();
    let call = FileCall::Archive {
        ticket: ticket.clone(),
        scope: Scope::default(),
        path: path.to_owned(),
        format: format.to_owned(),
        base_ref: base_ref.map(str::to_owned),
        exclude: exclude.iter().map(|text| (*text).to_owned()).collect(),
        use_default_excludes: true,
    };
    let (about, _) = world.file::<Archive>(call, Bytes::new()).await?;
    let bytes = world.download(&about.path).await?;
    world.file::<()>(FileCall::EndArchive { ticket }, Bytes::new()).await?;
    assert!(!fs::exists(&about.path).unwrap());
    Ok(Made { about, bytes })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tarball_has_the_files_and_a_manifest() {
    let world = World::start().await;
    world.sh("mkdir -p p/src p/node_modules/x p/skip p/empty; echo hello > 'p/src/ü a.txt'; echo n > p/node_modules/x/y; echo s > p/skip/s; touch p/c.pyc; ln -s src p/link; chmod 755 'p/src/ü a.txt'");

    let made = archive(&world, &world.text("p"), "tar.gz", None, &["skip/"]).await.unwrap();

    assert_eq!(made.about.name, "p.tar.gz");
    fs::write(world.path("out.tar.gz"), &made.bytes).unwrap();
    let names = world.sh("export LC_ALL=C.UTF-8; tar tzf out.tar.gz --quoting-style=literal | sort");
    assert_eq!(names, "p/\np/archive_manifest.json\np/empty/\np/src/\np/src/ü a.txt");
    world.sh("mkdir x; tar xzf out.tar.gz -C x");
    assert_eq!(world.sh("cat x/p/src/*; stat -c %a x/p/src/*"), "hello\n755");
    let manifest: Value = serde_json::from_str(&world.sh("cat x/p/archive_manifest.json")).unwrap();
    assert_eq!((&manifest["file_count"], &manifest["total_bytes"]), (&1.into(), &6.into()));
    assert_eq!((&manifest["format"], &manifest["source"]), (&"tar.gz".into(), &"p".into()));
    assert!(manifest["excludes"].as_array().unwrap().contains(&"skip/".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_of_a_repository_never_go_in() {
    let world = World::start().await;
    world.sh("git init -q p; cd p; git remote add origin https://me:pw@host/x.git; echo 1 > a; git add .; git commit -qm first");
    let call = FileCall::Archive {
        ticket: ticket(),
        scope: Scope::default(),
        path: world.text("p"),
        format: "tar.gz".into(),
        base_ref: None,
        exclude: vec![],
        use_default_excludes: false,
    };
    let (about, _) = world.file::<Archive>(call, Bytes::new()).await.unwrap();
    fs::copy(&about.path, world.path("out.tar.gz")).unwrap();

    let names = world.sh("tar tzf out.tar.gz");
    assert!(
        names.contains("p/.git/HEAD") && !names.contains("p/.git/config") && !names.contains("logs"),
        "{names}"
    );
    assert_eq!(about.headers["X-Archive-Repo-Remote"], "https://host/x.git");
    assert_eq!(about.headers["X-Archive-Head-Commit"], world.sh("git -C p rev-parse HEAD"));
    // Only archives can be dropped.
    world.file::<()>(FileCall::EndArchive { ticket: world.text("p/a") }, Bytes::new()).await.unwrap();
    assert!(world.path("p/a").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patch_carries_a_working_tree_over() {
    let world = World::start().await;
    world.sh(
        "git init -q -b main p; cd p; mkdir d build; echo 1 > a; echo 1 > gone; echo 1 > 'd/ü b'; head -c 3000 /dev/urandom > bin; \
         git add .; git commit -qm first; cd ..; git clone -q p clone; cd p; \
         echo 2 > a; rm gone; echo new > 'n n'; head -c 3000 /dev/urandom > bin; echo 2 > 'd/ü b'; echo x > build/out; git add a; \
         echo ignored > .gitignore; echo i > ignored",
    );
    let before = world.sh("cd p; git status --porcelain; find .git | sort | md5sum");

    let made = archive(&world, &world.text("p"), "git-delta", None, &[]).await.unwrap();

    assert_eq!(world.sh("cd p; git status --porcelain; find .git | sort | md5sum"), before);
    assert_eq!(made.about.name, "p.patch");
    assert_eq!(made.about.headers["X-Archive-Base-Ref"], "auto");
    assert_eq!(made.about.headers["X-Archive-Base-Commit"], world.sh("git -C p rev-parse HEAD"));
    assert_eq!(made.about.headers["X-Archive-Branch"], "main");
    fs::write(world.path("p.patch"), &made.bytes).unwrap();
    world.sh("cd clone; git apply ../p.patch");
    let differing = world.sh("diff -r --exclude=.git p clone || true");
    assert_eq!(differing, "Only in p: build\nOnly in p: ignored");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patch_of_a_subfolder_has_only_its_changes() {
    let world = World::start().await;
    world.sh("git init -q .; mkdir -p deep/er; echo one > a.txt; git add .; git commit -qm first; echo two > a.txt; echo 'uploaded text' > deep/er/up.txt");
    let made = archive(&world, &world.text("deep"), "git-delta", Some("HEAD"), &[]).await.unwrap();
    assert_eq!(made.about.name, "deep.patch");
    assert_eq!(made.about.headers["X-Archive-Base-Ref"], "HEAD");
    let expected = "diff --git a/deep/er/up.txt b/deep/er/up.txt\nnew file mode 100644\nindex 0000000..3f28d45\n--- /dev/null\n+++ b/deep/er/up.txt\n@@ -0,0 +1 @@\n+uploaded text\n";
    assert_eq!(String::from_utf8(made.bytes).unwrap(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_only_repository_below_is_meant() {
    let world = World::start().await;
    world.sh("git init -q a/b/proj; echo 1 > a/b/proj/x");
    let made = archive(&world, &world.text("a"), "git-delta", None, &[]).await.unwrap();
    assert_eq!(made.about.name, "proj.patch");
    assert!(String::from_utf8(made.bytes).unwrap().starts_with("diff --git a/x b/x\n"));
    world.sh("git init -q a/other");
    let several = archive(&world, &world.text("a"), "git-delta", None, &[]).await.err().unwrap();
    assert!(several.public.starts_with("Not a git repository: "));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_archived_says_why() {
    let world = World::start().await;
    world.sh("git init -q .; touch file");
    let failed = async |path: &str, base: Option<&str>| {
        archive(&world, path, "git-delta", base, &[]).await.err().unwrap().code
    };
    assert_eq!(failed("relative", None).await, Code::BadRequest);
    assert_eq!(failed(&world.text("missing"), None).await, Code::NotFound);
    assert_eq!(failed(&world.text("file"), None).await, Code::BadRequest);
    assert_eq!(failed(&world.text(""), Some("-x")).await, Code::BadRequest);
    assert_eq!(failed(&world.text(""), Some("nope")).await, Code::BadRequest);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_too_deep_is_refused_and_the_server_goes_on() {
    let world = World::start().await;
    world.sh("mkdir p; cd p; for i in $(seq 1900); do mkdir a && cd a; done");
    let refused = archive(&world, &world.text("p"), "tar.gz", None, &[]).await.err().unwrap();
    assert_eq!(refused.code, Code::BadRequest, "{}", refused.public);
    assert!(refused.public.contains("200 levels"), "{}", refused.public);
    world.sh("mkdir -p q/$(printf 'a/%.0s' $(seq 150)); touch q/$(printf 'a/%.0s' $(seq 150))f");
    archive(&world, &world.text("q"), "tar.gz", None, &[]).await.unwrap();
    assert_eq!(fs::read_dir(world.path("../scratch")).unwrap().count(), 0, "nothing is left of either");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_pretends_to_be_huge_is_refused_at_once() {
    let world = World::start().await;
    world.sh("mkdir p; truncate -s 15T p/sparse");
    let refused = archive(&world, &world.text("p"), "tar.gz", None, &[]).await.err().unwrap();
    assert_eq!(refused.code, Code::BadRequest);
    assert!(refused.public.contains("16384 MiB"), "{}", refused.public);
    archive(&world, &world.text("p"), "tar.gz", None, &["sparse"]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn pipes_sockets_and_devices_are_neither_packed_nor_waited_for() {
    let world = World::start().await;
    world.sh("mkdir p; mkfifo p/pipe; ln -s pipe p/link; echo x > p/file; mknod p/null c 1 3 || true");
    let _socket = std::os::unix::net::UnixListener::bind(world.path("p/socket")).unwrap();
    let made = archive(&world, &world.text("p"), "tar.gz", None, &[]).await.unwrap();
    fs::write(world.path("out.tar.gz"), &made.bytes).unwrap();
    assert_eq!(world.sh("tar tzf out.tar.gz | sort"), "p/\np/archive_manifest.json\np/file");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_under_way_ends_when_it_is_told_to() {
    let world = World::start().await;
    world.sh("mkdir p; truncate -s 15G p/sparse");
    let ticket = ticket();
    let call = FileCall::Archive {
        ticket: ticket.clone(),
        scope: Scope::default(),
        path: world.text("p"),
        format: "tar.gz".to_owned(),
        base_ref: None,
        exclude: Vec::new(),
        use_default_excludes: false,
    };
    let files = || fs::read_dir(world.path("../scratch")).map_or(0, Iterator::count);
    let (made, ()) = tokio::join!(world.file::<Archive>(call, Bytes::new()), async {
        eventually(async || (files() == 1).then_some(())).await;
        world.file::<()>(FileCall::EndArchive { ticket }, Bytes::new()).await.unwrap();
    });
    assert_eq!(made.unwrap_err().cause.as_deref(), Some("Nobody waits for the archive any more"));
    assert_eq!(files(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_patch_with_a_file_that_pretends_to_be_huge_is_refused_at_once() {
    let world = World::start().await;
    world.sh("git init -q p; cd p; echo x > a; git add a; git commit -qm first; truncate -s 15T sparse");
    let refused = archive(&world, &world.text("p"), "git-delta", None, &[]).await.err().unwrap();
    assert_eq!(refused.code, Code::BadRequest);
    assert!(refused.public.contains("16384 MiB"), "{}", refused.public);
    archive(&world, &world.text("p"), "git-delta", None, &["sparse"]).await.unwrap();
    eventually(async || (fs::read_dir(world.path("../scratch")).unwrap().count() == 0).then_some(())).await;
}

/// Names are looked at before files are opened, so what they mean may have changed.
#[tokio::test(flavor = "multi_thread")]
async fn what_becomes_a_pipe_while_it_is_packed_keeps_nobody() {
    let world = World::start().await;
    world.sh("mkdir p; for i in $(seq 200); do echo x > p/$i; done");
    let swapping = std::process::Command::new("/bin/sh")
        .args(["-c", "while :; do for i in $(seq 200); do rm -f p/$i; mkfifo p/$i; done; for i in $(seq 200); do rm -f p/$i; echo x > p/$i; done; done"])
        .current_dir(world.path(""))
        .spawn()
        .unwrap();
    let mut swapping = Killed(swapping);
    for _ in 0..20 {
        archive(&world, &world.text("p"), "tar.gz", None, &[]).await.unwrap();
    }
    assert!(swapping.0.try_wait().unwrap().is_none(), "names change all the time");
}

/// Ends with the test.
struct Killed(std::process::Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
