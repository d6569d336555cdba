//! Working trees of their own, in repositories that the real program made.

use std::fs;
use std::path::Path;

use ports::rpc::{Code, Fault};
use types::ConversationId;
use types::calls::{GitAnswer, GitCall};
use types::worktree::{Worktree, WorktreeBase};

use crate::services::World;

const REPOSITORY: &str =
    "git init -q -b main repo; cd repo; mkdir sub; echo 1 > sub/a.txt; git add .; git commit -qm first";

async fn add(
    world: &World,
    source: &str,
    conversation: ConversationId,
    base: WorktreeBase,
) -> Result<Option<Worktree>, Fault> {
    let (source, parent) = (world.text(source), world.text("trees"));
    let branch = format!("openhands/{conversation}");
    let call = GitCall::AddWorktree { source, parent, conversation, base, branch };
    match world.git(call).await? {
        GitAnswer::Worktree(worktree) => Ok(worktree),
        other => panic!("{other:?}"),
    }
}

async fn remove(world: &World, worktree: &Worktree) {
    world.git(GitCall::RemoveWorktree { worktree: worktree.clone() }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_working_tree_is_one_that_git_can_work_in_and_is_gone_when_it_is_removed() {
    let world = World::start().await;
    world.sh(REPOSITORY);
    let id = ConversationId::random();
    let made = add(&world, "repo/sub", id, WorktreeBase::DefaultBranch).await.unwrap().unwrap();
    assert_eq!(made.root, world.text(&format!("trees/{id}/repo")));
    assert_eq!(made.folder, format!("{}/sub", made.root));
    assert_eq!((made.conversation, made.branch.clone()), (id, format!("openhands/{id}")));
    let in_it = |script: &str| world.sh(&format!("cd '{}'; {script}", made.folder));
    assert_eq!(in_it("git branch --show-current; cat a.txt").trim(), format!("openhands/{id}\n1"));
    in_it("echo 2 > a.txt; git commit -qam second");
    assert_eq!(world.sh("cd repo; git status --porcelain; cat sub/a.txt").trim(), "1");
    assert_eq!(world.sh(&format!("cd repo; git log -1 --format=%s openhands/{id}")).trim(), "second");

    remove(&world, &made).await;
    assert!(!Path::new(&made.root).exists());
    assert_eq!(world.sh("cd repo; git worktree list | wc -l").trim(), "1");
    assert_eq!(world.sh(&format!("cd repo; git log -1 --format=%s openhands/{id}")).trim(), "second");
    remove(&world, &made).await;
    assert!(world.path("repo/sub/a.txt").exists());
}

/// Defect B10 of the peer, which answers 500 then.
#[tokio::test(flavor = "multi_thread")]
async fn a_repository_without_a_commit_is_shared() {
    let world = World::start().await;
    world.sh("git init -q empty; mkdir none");
    for source in ["empty", "none", "nowhere"] {
        let id = ConversationId::random();
        assert_eq!(add(&world, source, id, WorktreeBase::DefaultBranch).await.unwrap(), None, "{source}");
    }
    assert!(!world.path("trees").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_working_tree_begins_with_the_base_that_is_wished_for() {
    let world = World::start().await;
    world.sh(REPOSITORY);
    world.sh("cd repo; git tag v1; git checkout -q -b other; echo 2 > sub/a.txt; git commit -qam second");
    for (base, content) in [
        (WorktreeBase::DefaultBranch, "1"),
        (WorktreeBase::Head, "2"),
        (WorktreeBase::Ref("v1".to_owned()), "1"),
        (WorktreeBase::Ref("other".to_owned()), "2"),
    ] {
        let made = add(&world, "repo", ConversationId::random(), base.clone()).await.unwrap().unwrap();
        let found = fs::read_to_string(Path::new(&made.folder).join("sub/a.txt")).unwrap();
        assert_eq!(found.trim(), content, "{base:?}");
    }
    let unknown = WorktreeBase::Ref("nowhere".to_owned());
    let refused = add(&world, "repo", ConversationId::random(), unknown).await.unwrap_err();
    assert_eq!(refused.code, Code::Invalid);
}

/// A creation is repeated, and the conversation of the first one is at work.
#[tokio::test(flavor = "multi_thread")]
async fn a_working_tree_that_is_there_is_not_made_anew() {
    let world = World::start().await;
    world.sh(REPOSITORY);
    let id = ConversationId::random();
    let made = add(&world, "repo/sub", id, WorktreeBase::Head).await.unwrap().unwrap();
    world.sh(&format!("cd '{}'; echo 2 > a.txt; git commit -qam second; echo 3 > a.txt", made.folder));
    assert_eq!(add(&world, "repo/sub", id, WorktreeBase::Head).await.unwrap().as_ref(), Some(&made));
    let left = world.sh(&format!("cd '{}'; cat a.txt; git log -1 --format=%s", made.folder));
    assert_eq!(left.trim(), "3\nsecond");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_working_tree_that_is_made_from_another_one_outlives_it() {
    let world = World::start().await;
    world.sh(REPOSITORY);
    let first = add(&world, "repo", ConversationId::random(), WorktreeBase::Head).await.unwrap().unwrap();
    let source = format!("trees/{}/repo", first.conversation);
    let second = add(&world, &source, ConversationId::random(), WorktreeBase::Head).await.unwrap().unwrap();
    remove(&world, &first).await;
    world.sh(&format!("cd '{}'; echo 2 > sub/a.txt; git commit -qam second", second.folder));
    remove(&world, &second).await;
    assert!(!Path::new(&second.root).exists());
}

/// Git locks a working tree until it is whole.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_worker_has_left_is_made_anew_and_can_be_removed() {
    let world = World::start().await;
    world.sh(REPOSITORY);
    let id = ConversationId::random();
    let made = add(&world, "repo", id, WorktreeBase::Head).await.unwrap().unwrap();
    assert_eq!(made.folder, made.root);
    let half = format!(
        "echo initializing > repo/.git/worktrees/repo/locked; echo half > '{0}/left.txt'
        echo 'gitdir: /tmp/gone/worktrees/repo' > '{0}/.git'",
        made.root
    );
    world.sh(&half);
    assert_eq!(add(&world, "repo", id, WorktreeBase::Head).await.unwrap().as_ref(), Some(&made));
    assert!(!Path::new(&made.folder).join("left.txt").exists());
    fs::remove_dir_all(&made.root).unwrap();
    assert_eq!(add(&world, "repo", id, WorktreeBase::Head).await.unwrap().as_ref(), Some(&made));
    world.sh(&half);
    remove(&world, &made).await;
    assert_eq!(world.sh("cd repo; git worktree list | wc -l").trim(), "1");
}

/// Whoever works in it could have others' files removed, or written.
#[tokio::test(flavor = "multi_thread")]
async fn links_in_the_place_of_a_working_tree_are_not_followed() {
    let world = World::start().await;
    world.sh(REPOSITORY);
    let id = ConversationId::random();
    let made = add(&world, "repo", id, WorktreeBase::Head).await.unwrap().unwrap();
    world.sh(&format!(
        "mkdir -p others/repo; echo 1 > others/repo/kept; rm -r trees/{id}; ln -s ../others trees/{id}"
    ));
    remove(&world, &made).await;
    assert!(world.path("others/repo/kept").exists());
    world
        .sh(&format!("ln -s ../others trees/{id}; rm trees/.gitignore; ln -s ../elsewhere trees/.gitignore"));
    add(&world, "repo", id, WorktreeBase::Head).await.unwrap().unwrap();
    assert!(world.path("others/repo/kept").exists() && !world.path("elsewhere").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_hook_and_no_filter_of_a_repository_runs() {
    let world = World::start().await;
    world.sh(REPOSITORY);
    let evil = r#"here=$(pwd); hook=repo/.git/hooks/post-checkout
        printf '#!/bin/sh\ntouch %s/ran\n' $here > $hook; chmod +x $hook
        cd repo; echo '* filter=evil' > .git/info/attributes
        git config filter.evil.smudge "touch $here/ran; cat"
        git config core.fsmonitor "touch $here/ran"; rm -f $here/ran"#;
    world.sh(evil);
    let made = add(&world, "repo", ConversationId::random(), WorktreeBase::Head).await.unwrap().unwrap();
    remove(&world, &made).await;
    assert!(!world.path("ran").exists());
}

/// As where workspaces are repositories: the working trees lie inside.
#[tokio::test(flavor = "multi_thread")]
async fn a_repository_does_not_take_working_trees_inside_for_its_files() {
    let world = World::start().await;
    world.sh("git init -q .; echo 1 > a; git add a; git commit -qm first");
    let (source, parent) = (world.text(""), world.text(".worktrees"));
    let conversation = ConversationId::random();
    let call = GitCall::AddWorktree {
        source,
        parent,
        conversation,
        base: WorktreeBase::Head,
        branch: "b".to_owned(),
    };
    world.git(call).await.unwrap();
    assert_eq!(world.sh("git status --porcelain"), "");
}
