//! Git over the API, on repositories that the real program made.

use std::fs;

use crate::services::{World, listed};
use ports::rpc::Code;
use types::calls::{GitAnswer, GitCall, Scope};
use types::git::{GitCommitsPage, GitDiff};

fn sides(original: &str, modified: &str) -> GitDiff {
    GitDiff { original: Some(original.to_owned()), modified: Some(modified.to_owned()) }
}

async fn commits(world: &World, limit: usize) -> GitCommitsPage {
    let call = GitCall::Commits { scope: Scope::default(), path: world.text(""), limit };
    match world.git(call).await.unwrap() {
        GitAnswer::Commits(page) => page,
        other => panic!("{other:?}"),
    }
}

async fn commit_changes(world: &World, sha: &str) -> Vec<String> {
    let call = GitCall::CommitChanges { scope: Scope::default(), path: world.text(""), sha: sha.to_owned() };
    listed(world.git(call).await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_the_working_tree_are_named() {
    let world = World::start().await;
    world.sh("git init -q .; printf 'one\\n' > a.txt; echo x > gone; echo x > moved; echo '*.o' > .gitignore; git add .; git commit -qm first");
    world.sh("echo two >> a.txt; echo new > b.txt; rm gone; git mv moved elsewhere; touch x.o; mkdir -p d/e; echo 1 > d/e/f");

    let expected = ["U a.txt", "A b.txt", "A d/e/f", "A elsewhere", "D gone", "D moved"];
    assert_eq!(world.changes(&world.text(""), None).await, expected);
    assert_eq!(world.changes(&world.text("."), Some("HEAD")).await, expected);
    assert_eq!(world.changes(&world.text("d"), None).await, ["A e/f"]);
    assert_eq!(world.diff(&world.text("a.txt"), None).await.unwrap(), sides("one\n", "one\ntwo\n"));
    assert_eq!(world.diff(&world.text("b.txt"), None).await.unwrap(), sides("", "new\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn more_changes_than_anybody_would_look_at_are_refused_and_never_cut_off() {
    let world = World::start().await;
    let commit_of = |files: usize| {
        let made = world.sh(&format!(
            "git init -q .; blob=$(echo x | git hash-object -w --stdin); \
             tree=$(seq {files} | sed \"s/.*/100644 blob $blob\t&/\" | git mktree); \
             git update-ref HEAD $(git commit-tree -m many $tree); git read-tree HEAD; git rev-parse HEAD"
        ));
        made.trim().to_owned()
    };
    let sha = commit_of(50_000);
    assert_eq!(world.changes(&world.text(""), Some("HEAD")).await.len(), 50_000);
    assert_eq!(commit_changes(&world, &sha).await.len(), 50_000);
    let sha = commit_of(50_001);
    let (scope, path) = (Scope::default(), world.text(""));
    for call in [
        GitCall::Changes { scope: scope.clone(), path: path.clone(), reference: Some("HEAD".to_owned()) },
        GitCall::CommitChanges { scope, path, sha },
    ] {
        let fault = world.git(call).await.unwrap_err();
        assert_eq!(
            (fault.code, fault.public.as_str()),
            (Code::BadRequest, "More files have changed than can be listed")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_with_spaces_and_umlauts() {
    let world = World::start().await;
    let names = ["a b.txt", "ün i.txt", "tab\there", "new\nline", "qu\"ote", ":(top)x", "-dash"];
    world.sh("git init -q .");
    fs::create_dir(world.path("ö d")).unwrap();
    for name in names {
        fs::write(world.path(name), "1\n").unwrap();
        fs::write(world.path("ö d").join(name), "1\n").unwrap();
    }
    world.sh("git add .; git commit -qm first");
    for name in names {
        fs::write(world.path(name), "2\n").unwrap();
        fs::write(world.path(&format!("new {name}")), "2\n").unwrap();
    }

    let mut expected: Vec<_> = names.iter().map(|name| format!("U {name}")).collect();
    expected.extend(names.iter().map(|name| format!("A new {name}")));
    expected.sort_by(|one, other| one[2..].cmp(&other[2..]));
    assert_eq!(world.changes(&world.text(""), None).await, expected);
    for name in names {
        assert_eq!(world.diff(&world.text(name), None).await.unwrap(), sides("1\n", "2\n"), "{name}");
    }
    fs::write(world.path("ö d/a b.txt"), "3").unwrap();
    assert_eq!(world.changes(&world.text("ö d"), None).await, ["U a b.txt"]);
    assert_eq!(world.diff(&world.text("ö d/a b.txt"), None).await.unwrap(), sides("1\n", "3"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_diff_keeps_every_byte_of_text() {
    let world = World::start().await;
    world.sh(
        "git init -q .; printf 'a\\r\\nb' > crlf; printf 'x\\0y' > binary; git add .; git commit -qm first",
    );
    fs::write(world.path("crlf"), "a\r\nb\r\n\n").unwrap();
    fs::write(world.path("binary"), [0xff, 0xfe]).unwrap();

    assert_eq!(world.diff(&world.text("crlf"), None).await.unwrap(), sides("a\r\nb", "a\r\nb\r\n\n"));
    assert_eq!(world.diff(&world.text("binary"), None).await.unwrap(), sides("", ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_file_differs_from_what_it_was() {
    let world = World::start().await;
    world.sh("git init -q .; mkdir -p d/e; echo 1 > a; echo 2 > d/e/f; echo 3 > g; git add .; git commit -qm first");
    world.sh("rm -r a d g; echo now a file > d; mkdir g");
    let outcome = async |name: &str| world.diff(&world.text(name), None).await;

    assert_eq!(outcome("a").await.unwrap(), sides("1\n", ""));
    assert_eq!(outcome("d/e/f").await.unwrap(), sides("2\n", ""), "also where its folder is a file now");
    for (refused, why) in
        [("d/e", "a deleted folder"), ("never", "a path that never was"), ("g", "a folder now")]
    {
        assert_eq!(outcome(refused).await.unwrap_err().code, Code::BadRequest, "{why}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_diff_that_cannot_be_is_refused() {
    let world = World::start().await;
    world.sh("git init -q .; head -c 1048577 /dev/zero | tr '\\0' x > big; head -c 1048576 big > fits; git add .; git commit -qm first; echo > big");
    let outcome = async |name: &str| world.diff(&world.text(name), None).await;

    assert_eq!(outcome("missing").await.unwrap_err().code, Code::BadRequest);
    assert_eq!(outcome("big").await.unwrap_err().code, Code::BadRequest);
    assert_eq!(outcome("fits").await.unwrap().modified.unwrap().len(), 1_048_576);
    let both = GitCall::Diff {
        scope: Scope::default(),
        path: world.text("fits"),
        reference: Some("HEAD".into()),
        commit: Some("abcd".into()),
    };
    assert_eq!(world.git(both).await.unwrap_err().code, Code::BadRequest);
    assert_eq!(world.diff(&world.text("fits"), Some("abcd1234")).await.unwrap_err().code, Code::BadRequest);
}

#[tokio::test(flavor = "multi_thread")]
async fn outside_a_repository_there_is_nothing() {
    let world = World::start().await;
    fs::write(world.path("a"), "x").unwrap();
    assert_eq!(world.changes(&world.text(""), None).await, [""; 0]);
    assert_eq!(world.changes(&world.text("missing"), None).await, [""; 0]);
    assert_eq!(world.changes(&world.text("a"), None).await, [""; 0]);
    assert_eq!(world.diff(&world.text("a"), None).await.unwrap(), GitDiff { modified: None, original: None });
    assert_eq!(commits(&world, 5).await, GitCommitsPage::default());
    assert_eq!(commit_changes(&world, "abcd").await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_first_commit_everything_is_new() {
    let world = World::start().await;
    world.sh("git init -q .; echo 1 > staged; git add staged; echo 2 > loose");
    assert_eq!(world.changes(&world.text(""), None).await, ["A loose", "A staged"]);
    assert_eq!(world.changes(&world.text(""), Some("HEAD")).await, ["A loose", "A staged"]);
    assert_eq!(world.diff(&world.text("staged"), None).await.unwrap(), sides("", "1\n"));
    assert_eq!(commits(&world, 5).await, GitCommitsPage::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reference_must_name_a_commit() {
    let world = World::start().await;
    world
        .sh("git init -q .; echo 1 > a; git add .; git commit -qm first; echo 2 > a; git commit -qam second");
    assert_eq!(world.changes(&world.text(""), Some("HEAD~1")).await, ["U a"]);
    for reference in ["nope", "--output=/tmp/x", "HEAD:a", ""] {
        let call = GitCall::Changes {
            scope: Scope::default(),
            path: world.text(""),
            reference: Some(reference.into()),
        };
        let refused = world.git(call).await.unwrap_err();
        assert_eq!(refused.code, Code::BadRequest, "{reference}");
        assert!(refused.public.contains("rev-parse"), "{}", refused.public);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn repositories_one_level_below_are_included() {
    let world = World::start().await;
    world.sh("git init -q .; mkdir lib lib2; echo 1 > lib2/x; git init -q lib; echo 1 > lib/a; cd lib; git add .; git commit -qm first; echo 2 > a; echo 3 > 'b c'");
    assert_eq!(world.changes(&world.text(""), None).await, ["U lib/a", "A lib/b c", "A lib2/x"]);
    assert_eq!(world.diff(&world.text("lib/a"), None).await.unwrap(), sides("1\n", "2\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_holds_repositories_shows_what_has_changed_in_each() {
    let world = World::start().await;
    world.sh("mkdir plain; echo 1 > plain/x; echo 1 > y; for name in one two; do git init -q $name; cd $name; echo 1 > a; git add .; git commit -qm first; echo 2 > a; cd ..; done; git -C one tag known");
    assert_eq!(world.changes(&world.text(""), None).await, ["U one/a", "U two/a"]);
    assert_eq!(world.changes(&world.text(""), Some("HEAD")).await, ["U one/a", "U two/a"]);
    assert_eq!(world.changes(&world.text(""), Some("known")).await, ["U one/a"], "only one has it");
    let path = world.text("");
    let unknown = GitCall::Changes { scope: Scope::default(), path, reference: Some("unknown".into()) };
    assert_eq!(world.git(unknown).await.unwrap_err().code, Code::BadRequest, "none has it");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_very_many_repositories_beside_each_other_a_bounded_number_is_looked_at() {
    let world = World::start().await;
    world.sh("git init -q first; echo 1 > first/a; for at in $(seq 100 200); do cp -r first n$at; done");
    assert_eq!(world.changes(&world.text(""), None).await.len(), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_are_shown_against_what_was_pushed_or_forked_from() {
    let world = World::start().await;
    world.sh(
        "git init -q --bare ../remote; git init -q -b main .; echo 1 > a; git add .; git commit -qm first; \
         git remote add origin ../remote; git push -q -u origin main; git remote set-head origin main; \
         git checkout -q -b work; echo 2 > b; git add .; git commit -qm second",
    );
    // Never pushed: against the fork from the remote's default branch.
    assert_eq!(world.changes(&world.text(""), None).await, ["A b"]);
    // Pushed and clean: still what the branch adds.
    world.sh("git push -q -u origin work");
    assert_eq!(world.changes(&world.text(""), None).await, ["A b"]);
    // Something new since the push: only that.
    world.sh("echo 3 > c");
    assert_eq!(world.changes(&world.text(""), None).await, ["A c"]);
    // Without a remote: against the local main branch.
    world.sh("git remote remove origin");
    assert_eq!(world.changes(&world.text(""), None).await, ["A b", "A c"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn history_is_paged_and_each_commit_shows_its_changes() {
    let world = World::start().await;
    world.sh("git init -q .; echo 1 > a; git add .; git commit -qm 'first ü'; echo 2 > a; echo 2 > 'b b'; git add .; git commit -qm second; git rm -q a; git commit -qm third");
    world.sh("git checkout -q -b side HEAD~1; echo s > s; git add .; git commit -qm side; git checkout -q -; git merge -q --no-edit side");

    let page = commits(&world, 3).await;
    assert_eq!((page.commits.len(), page.has_more), (3, true));
    let all = commits(&world, 50).await;
    assert!(!all.has_more);
    let sha = |subject: &str| {
        let commit = all.commits.iter().find(|commit| commit.subject.starts_with(subject)).unwrap();
        assert!(commit.sha.starts_with(&commit.short_sha) && commit.author == "Ann");
        assert!(commit.timestamp.contains('T'));
        commit.sha.clone()
    };
    assert_eq!(commit_changes(&world, &sha("first ü")).await, ["A a"]);
    assert_eq!(commit_changes(&world, &sha("second")[..10]).await, ["U a", "A b b"]);
    assert_eq!(commit_changes(&world, &sha("Merge")).await, ["A s"]);
    let third = sha("third");
    assert_eq!(world.diff(&world.text("a"), Some(&third)).await.unwrap(), sides("2\n", ""));
    assert_eq!(world.diff(&world.text("a"), Some(&sha("first"))).await.unwrap(), sides("", "1\n"));
    let unknown =
        GitCall::CommitChanges { scope: Scope::default(), path: world.text(""), sha: "00000000".into() };
    assert_eq!(world.git(unknown).await.unwrap_err().code, Code::BadRequest);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scope_confines_git_too() {
    let world = World::start().await;
    let call = GitCall::Changes { scope: world.scope(), path: "/".into(), reference: None };
    assert_eq!(world.git(call).await.unwrap_err().code, Code::Invalid);
    for relative in ["", "a", "."] {
        let call = GitCall::Changes { scope: world.scope(), path: relative.into(), reference: None };
        assert_eq!(world.git(call).await.unwrap_err().code, Code::Invalid, "{relative:?}");
        let call =
            GitCall::Diff { scope: world.scope(), path: relative.into(), reference: None, commit: None };
        assert_eq!(world.git(call).await.unwrap_err().code, Code::Invalid, "{relative:?}");
    }
    std::os::unix::fs::symlink("/etc/passwd", world.path("link")).unwrap();
    world.sh("git init -q .");
    let call =
        GitCall::Diff { scope: world.scope(), path: world.text("link"), reference: None, commit: None };
    let GitAnswer::Diff(diff) = world.git(call).await.unwrap() else { panic!() };
    assert_eq!(diff.modified.as_deref(), Some("/etc/passwd"), "where it leads, not what is there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_folder_is_a_repository_that_git_can_work_in() {
    let world = World::start().await;
    let prepare = async |name: &str| world.git(GitCall::Prepare { path: world.text(name) }).await.unwrap();
    // The first is the pattern of the second.
    for name in ["one", "two/deep er"] {
        prepare(name).await;
        fs::write(world.path(name).join("a"), "1").unwrap();
        assert_eq!(world.changes(&world.text(name), None).await, ["A a"]);
        let script = format!(
            "cd '{name}'; git fsck --strict; git status --porcelain; git add .; git commit -qm first; git log --format=%s"
        );
        assert_eq!(world.sh(&script).lines().last(), Some("first"));
        let made = fs::read_dir(world.path(name)).unwrap().count();
        assert_eq!(made, 2, "the file and .git");
    }
    world.sh("git init -q by-git");
    for file in ["config", "HEAD"] {
        let read = |name: &str| fs::read_to_string(world.path(name).join(".git").join(file)).unwrap();
        assert_eq!(read("one"), read("two/deep er"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_in_a_repository_is_only_made() {
    let world = World::start().await;
    world.sh("git init -q .");
    let path = world.text("sub/folder");
    for _ in 0..2 {
        world.git(GitCall::Prepare { path: path.clone() }).await.unwrap();
    }
    assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_may_prepare_one_folder() {
    let world = World::start().await;
    let calls = (0..8).map(|_| world.git(GitCall::Prepare { path: world.text("x") }));
    for outcome in futures_util::future::join_all(calls).await {
        outcome.unwrap();
    }
    assert_eq!(world.sh("cd x; ls -A"), ".git");
    world.git(GitCall::Prepare { path: "relative".into() }).await.unwrap();
    assert!(world.path("relative/.git/HEAD").exists());
    let refused = world.git(GitCall::Prepare { path: "a\0b".into() }).await.unwrap_err();
    assert_eq!(refused.code, Code::BadRequest);
}
