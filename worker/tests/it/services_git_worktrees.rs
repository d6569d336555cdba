//! Working trees of their own, in repositories that the real program made.

use std::fs;
use std::path::Path;

use ports::rpc::{Code, Fault};
use types::ConversationId;
use types::calls::{GitAnswer, GitCall};
use types::worktree::{Place, Worktree, WorktreeBase};

use crate::services::World;

pub const REPOSITORY: &str =
    "git init -q -b main repo; cd repo; mkdir sub; echo 1 > sub/a.txt; git add .; git commit -qm first";

pub async fn add_at(
    world: &World,
    source: &str,
    place: Place,
    base: WorktreeBase,
) -> Result<Option<Worktree>, Fault> {
    let (source, parent) = (world.text(source), world.text("trees"));
    let branch = format!("openhands/{}", place.conversation);
    match world.git(GitCall::AddWorktree { source, parent, place, base, branch }).await? {
        GitAnswer::Worktree(worktree) => Ok(worktree),
        other => panic!("{other:?}"),
    }
}

async fn add(world: &World, source: &str, base: WorktreeBase) -> Result<Option<Worktree>, Fault> {
    add_at(world, source, Place::fresh(ConversationId::random()), base).await
}

pub async fn remove(world: &World, worktree: &Worktree) {
    let place = worktree.place().unwrap();
    world.git(GitCall::RemoveWorktree { place }).await.unwrap();
}

async fn old(world: &World) -> Vec<Place> {
    old_after(world, None).await
}

async fn old_after(world: &World, after: Option<Place>) -> Vec<Place> {
    match world.git(GitCall::OldWorktrees { after }).await.unwrap() {
        GitAnswer::OldWorktrees(old) => old,
        other => panic!("{other:?}"),
    }
}

/// How many working trees git knows of, with the first.
pub fn known(world: &World) -> String {
    world.sh("cd repo; git worktree list | wc -l").trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_working_tree_is_one_that_git_can_work_in_and_is_gone_when_it_is_removed() {
    let world = World::start().await;
    world.sh(REPOSITORY);
    let place = Place::fresh(ConversationId::random());
    let id = place.conversation;
    let made = add_at(&world, "repo/sub", place, WorktreeBase::DefaultBranch).await.unwrap().unwrap();
    assert_eq!(made.root, world.text(&format!("trees/{place}/repo")));
    assert_eq!(made.folder, format!("{}/sub", made.root));
    assert_eq!((made.conversation, made.branch.clone()), (id, format!("openhands/{id}")));
    let in_it = |script: &str| world.sh(&format!("cd '{}'; {script}", made.folder));
    assert_eq!(in_it("git branch --show-current; cat a.txt").trim(), format!("openhands/{id}\n1"));
    in_it("echo 2 > a.txt; git commit -qam second");
    assert_eq!(world.sh("cd repo; git status --porcelain; cat sub/a.txt").trim(), "1");
    assert_eq!(world.sh(&format!("cd repo; git log -1 --format=%s openhands/{id}")).trim(), "second");

    remove(&world, &made).await;
    assert!(!world.path(&format!("trees/{place}")).exists());
    assert_eq!(known(&world), "1");
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
        assert_eq!(add(&world, source, WorktreeBase::DefaultBranch).await.unwrap(), None, "{source}");
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
        let made = add(&world, "repo", base.clone()).await.unwrap().unwrap();
        let found = fs::read_to_string(Path::new(&made.folder).join("sub/a.txt")).unwrap();
        assert_eq!(found.trim(), content, "{base:?}");
    }
    let unknown = WorktreeBase::Ref("nowhere".to_owned());
    let refused = add(&world, "repo", unknown).await.unwrap_err();
    assert_eq!(refused.code, Code::Invalid);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_earlier_conversation_of_the_id_has_committed_stays_in_its_branch() {
    let world = World::start().await;
    world.sh(REPOSITORY);
    let (id, made_for) = (ConversationId::random(), async |id| {
        add_at(&world, "repo", Place::fresh(id), WorktreeBase::DefaultBranch).await.unwrap().unwrap()
    });
    let earlier = made_for(id).await;
    world.sh(&format!(
        "cd '{}'; echo 2 > sub/a.txt; git commit -qam second; echo 3 > sub/b.txt",
        earlier.root
    ));
    remove(&world, &earlier).await;
    let later = made_for(id).await;
    let seen = world.sh(&format!("cd '{}'; git log -1 --format=%s; git status --porcelain", later.root));
    assert_eq!(seen.trim(), "first", "it begins with what was wished for");
    assert_eq!(world.sh(&format!("cd repo; git log -1 --format=%s {}", earlier.branch)).trim(), "second");
    assert!(later.branch.starts_with(&format!("{}-", earlier.branch)), "{}", later.branch);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_working_tree_that_is_made_from_another_one_outlives_it() {
    let world = World::start().await;
    world.sh(REPOSITORY);
    let first = add(&world, "repo", WorktreeBase::Head).await.unwrap().unwrap();
    let source = format!("trees/{}/repo", first.place().unwrap());
    let second = add(&world, &source, WorktreeBase::Head).await.unwrap().unwrap();
    remove(&world, &first).await;
    world.sh(&format!("cd '{}'; echo 2 > sub/a.txt; git commit -qam second", second.folder));
    remove(&world, &second).await;
    assert!(!Path::new(&second.root).exists());
    assert_eq!(known(&world), "1", "git knows of none that is gone");
}

/// Git locks a working tree until it is whole.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_worker_has_left_can_be_removed() {
    let world = World::start().await;
    world.sh(REPOSITORY);
    let made = add(&world, "repo", WorktreeBase::Head).await.unwrap().unwrap();
    assert_eq!(made.folder, made.root);
    world.sh(&format!(
        "echo initializing > repo/.git/worktrees/repo/locked; echo half > '{0}/left.txt'
        echo 'gitdir: /tmp/gone/worktrees/repo' > '{0}/.git'",
        made.root
    ));
    remove(&world, &made).await;
    assert!(!Path::new(&made.root).exists());
    assert_eq!(known(&world), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_making_that_goes_wrong_leaves_nothing_and_may_be_tried_again() {
    let world = World::start().await;
    world.sh(REPOSITORY);
    let place = Place::fresh(ConversationId::random());
    // Git begins the branch, and then cannot write the file.
    world.sh("cd repo; mv .git/objects/$(git rev-parse HEAD:sub/a.txt | sed 's|..|&/|') ../object");
    let refused = add_at(&world, "repo", place, WorktreeBase::Head).await.unwrap_err();
    assert_eq!(refused.code, Code::Unavailable);
    assert!(!refused.public.contains('/'), "{}", refused.public);
    assert!(!world.path(&format!("trees/{place}")).exists());
    assert_eq!((known(&world).as_str(), world.sh("cd repo; git branch").trim()), ("1", "* main"));
    world.sh("cd repo; git hash-object -w sub/a.txt");
    let made = add_at(&world, "repo", place, WorktreeBase::Head).await.unwrap().unwrap();
    assert_eq!(made.branch, format!("openhands/{}", place.conversation));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_no_branch_can_have_is_the_clients_mistake() {
    let world = World::start().await;
    world.sh(REPOSITORY);
    world.sh("cd repo; git branch openhands");
    let refused = add(&world, "repo", WorktreeBase::Head).await.unwrap_err();
    assert_eq!(refused.code, Code::Invalid);
    assert!(refused.public.contains("There is a branch 'openhands'"), "{}", refused.public);
}

#[tokio::test(flavor = "multi_thread")]
async fn places_that_were_made_long_ago_are_told_until_they_are_removed() {
    let world = World::start().await;
    world.sh(REPOSITORY);
    let [left, fresh] = [(); 2].map(|()| Place::fresh(ConversationId::random()));
    for place in [left, fresh] {
        add_at(&world, "repo", place, WorktreeBase::Head).await.unwrap().unwrap();
    }
    assert_eq!(old(&world).await, []);
    world.sh(&format!("touch -d '2 hours ago' ../worktrees/{left}"));
    assert_eq!(old(&world).await, [left]);
    world.git(GitCall::RemoveWorktree { place: left }).await.unwrap();
    assert_eq!(old(&world).await, []);
    assert!(!world.path(&format!("trees/{left}")).exists() && world.path(&format!("trees/{fresh}")).exists());
}

/// Those that are worked in are told, too: whoever asks knows them, and asks for more.
#[tokio::test(flavor = "multi_thread")]
async fn very_many_old_places_are_told_a_page_at_a_time() {
    let world = World::start().await;
    world.sh("mkdir -p ../worktrees");
    let mut places: Vec<Place> = (0..1_001).map(|_| Place::fresh(ConversationId::random())).collect();
    for place in &places {
        fs::write(world.path(&format!("../worktrees/{place}")), "{}").unwrap();
    }
    world.sh("touch -d '2 hours ago' ../worktrees/*");
    places.sort();
    let first = old(&world).await;
    assert_eq!(first, places[..1_000]);
    assert_eq!(old_after(&world, first.last().copied()).await, places[1_000..]);
    assert_eq!(old_after(&world, places.last().copied()).await, []);
}

async fn sweep(world: &World, place: Place) -> Option<Code> {
    world.git(GitCall::SweepWorktree { place }).await.err().map(|fault| fault.code)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_leaves_a_working_tree_with_something_in_it_that_is_in_no_branch() {
    let world = World::start().await;
    world.sh(REPOSITORY);
    for work in [
        "echo 2 > sub/a.txt",
        "echo 2 > new.txt",
        "echo 2 > sub/a.txt; git add .",
        "git checkout -q --detach; git commit -q --allow-empty -m lost",
        "b=$(git branch --show-current); git checkout -q --detach; git commit -q --allow-empty -m lost; git checkout -q $b",
        "git commit -q --allow-empty -m lost; git reset -q --hard HEAD~1",
        "git symbolic-ref HEAD refs/worktree/x; git commit -q --allow-empty -m lost",
        "git update-ref refs/worktree/x $(git commit-tree -m lost HEAD^{tree})",
        "c=$(git commit-tree -m lost HEAD^{tree}); echo $c > $(git rev-parse --git-dir)/MERGE_HEAD",
        "c=$(git commit-tree -m lost HEAD^{tree}); git update-ref ORIG_HEAD $c",
        "echo .env > .gitignore; git add .; git commit -qm ignoring; echo 2 > .env",
        "echo data/ > .gitignore; git add .; git commit -qm ignoring; mkdir data; echo 2 > data/base",
        "git update-index --skip-worktree sub/a.txt; echo 2 > sub/a.txt",
        "git update-index --assume-unchanged sub/a.txt; echo 2 > sub/a.txt",
        "git clone -q . module; git add module; git commit -qm module; echo 2 > module/new.txt",
        "git -c protocol.file.allow=always submodule --quiet add ../../../repo module; git commit -qm module
            git -C module commit -q --allow-empty -m lost; git rm -qf module; git commit -qm without",
        "rm .git",
        "echo 2 > ../beside",
    ] {
        let made = add(&world, "repo", WorktreeBase::Head).await.unwrap().unwrap();
        world.sh(&format!("cd '{}'; {work}", made.root));
        let place = made.place().unwrap();
        assert_eq!(sweep(&world, place).await, Some(Code::Conflict), "{work}");
        assert!(world.path(&format!("trees/{place}/repo/sub")).exists(), "{work}");
        world.git(GitCall::RemoveWorktree { place }).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_removes_what_is_committed_and_what_a_crash_has_left() {
    let world = World::start().await;
    world.sh(REPOSITORY);
    for left in [
        "true",
        "echo 2 > sub/a.txt; git commit -qam second",
        // The worker was killed over its making, or over its removal.
        "rm -r sub",
        "rm .git; echo 1 > part; rm $notes/$place.whole",
        "cd ..; rm -r repo",
        "cd ..; cd ..; rm -r $place",
        "cd ..; cd ..; rm -r $place; ln -s $notes $place",
    ] {
        let made = add(&world, "repo", WorktreeBase::Head).await.unwrap().unwrap();
        let (place, notes) = (made.place().unwrap(), world.text("../worktrees"));
        world.sh(&format!("place={place}; notes='{notes}'; cd '{}'; {left}", made.root));
        assert_eq!(sweep(&world, place).await, None, "{left}");
        assert!(world.path(&format!("trees/{place}")).symlink_metadata().is_err(), "{left}");
        assert!(world.path("../worktrees").is_dir() && known(&world) == "1", "{left}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn work_in_a_repository_that_is_called_as_our_folders_are_stays() {
    let world = World::start().await;
    world.sh(&REPOSITORY.replace("repo", "manyhands-git-tools"));
    let made = add(&world, "manyhands-git-tools", WorktreeBase::Head).await.unwrap().unwrap();
    world.sh(&format!("cd '{}'; echo 2 > sub/a.txt", made.root));
    assert_eq!(sweep(&world, made.place().unwrap()).await, Some(Code::Conflict));
    assert_eq!(world.sh(&format!("cat '{}/sub/a.txt'", made.root)).trim(), "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_that_stays_is_not_told_of_at_once_again() {
    let world = World::start().await;
    world.sh(REPOSITORY);
    let made = add(&world, "repo", WorktreeBase::Head).await.unwrap().unwrap();
    let place = made.place().unwrap();
    let ages = || {
        world.sh(&format!("echo 2 > '{}/new.txt'; touch -d '2 hours ago' ../worktrees/{place}", made.root))
    };
    ages();
    assert_eq!(sweep(&world, place).await, Some(Code::Conflict));
    assert_eq!(old(&world).await, []);
    ages();
    assert_eq!(old(&world).await, [place]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_whose_repository_was_spoiled_goes_all_the_same() {
    let world = World::start().await;
    world.sh(REPOSITORY);
    let made = add(&world, "repo", WorktreeBase::Head).await.unwrap().unwrap();
    let place = made.place().unwrap();
    world
        .sh(&format!("echo '<<<<<<< ours' >> repo/.git/config; touch -d '2 hours ago' ../worktrees/{place}"));
    remove(&world, &made).await;
    assert_eq!(old(&world).await, []);
    assert!(!world.path(&format!("trees/{place}")).exists());
}

/// Whoever works in it could have others' files removed, or written.
#[tokio::test(flavor = "multi_thread")]
async fn links_in_the_place_of_a_working_tree_are_not_followed() {
    let world = World::start().await;
    world.sh(REPOSITORY);
    let made = add(&world, "repo", WorktreeBase::Head).await.unwrap().unwrap();
    let place = made.place().unwrap();
    world.sh(&format!(
        "mkdir -p others/repo; echo 1 > others/repo/kept; rm -r trees/{place}; ln -s ../others trees/{place}"
    ));
    remove(&world, &made).await;
    assert!(world.path("others/repo/kept").exists());
    world.sh("rm trees/.gitignore; ln -s ../elsewhere trees/.gitignore");
    add(&world, "repo", WorktreeBase::Head).await.unwrap().unwrap();
    assert!(!world.path("elsewhere").exists());
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
    let made = add(&world, "repo", WorktreeBase::Head).await.unwrap().unwrap();
    remove(&world, &made).await;
    assert!(!world.path("ran").exists());
}

/// As where workspaces are repositories: the working trees lie inside.
#[tokio::test(flavor = "multi_thread")]
async fn a_repository_does_not_take_working_trees_inside_for_its_files() {
    let world = World::start().await;
    world.sh("git init -q .; echo 1 > a; git add a; git commit -qm first");
    let (source, parent) = (world.text(""), world.text(".worktrees"));
    let place = Place::fresh(ConversationId::random());
    let call =
        GitCall::AddWorktree { source, parent, place, base: WorktreeBase::Head, branch: "b".to_owned() };
    world.git(call).await.unwrap();
    assert_eq!(world.sh("git status --porcelain"), "");
}
