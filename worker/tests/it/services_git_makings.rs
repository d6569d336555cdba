//! Working trees that are made or removed in the same moment.

use std::fs;

use rustix::process::{Pid, Signal, kill_process_group};
use types::ConversationId;
use types::calls::GitCall;
use types::worktree::{Place, WorktreeBase};

use crate::services::{World, eventually};
use crate::services_git_worktrees::{REPOSITORY, add_at, known, remove};

/// Files that take a while to be written.
const MANY: &str = r#"cd repo; blob=$(echo 1 | git hash-object -w --stdin)
    seq 5000 | sed "s/.*/100644 $blob\tf&/" | git update-index --index-info; git commit -qm many"#;

/// The group of the git that makes a working tree at this place.
fn group_of(place: Place) -> Option<Pid> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let mut numbers = processes.filter_map(|process| process.file_name().to_str()?.parse::<i32>().ok());
    let is_it = |number: &i32| {
        let line = fs::read(format!("/proc/{number}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        line.starts_with("git\0") && line.contains(&format!("/{place}/"))
    };
    numbers.find(is_it).and_then(Pid::from_raw)
}

/// As two gateways do, and one that asks again when its worker was killed.
#[tokio::test(flavor = "multi_thread")]
async fn two_makings_for_one_conversation_have_nothing_of_each_other() {
    let world = World::start().await;
    world.sh(REPOSITORY);
    let id = ConversationId::random();
    let [one, other] = [Place::fresh(id), Place::fresh(id)];
    let make = async |place| add_at(&world, "repo/sub", place, WorktreeBase::Head).await.unwrap().unwrap();
    let (one, other) = tokio::join!(make(one), make(other));
    assert_ne!((&one.root, &one.branch), (&other.root, &other.branch));
    world.sh(&format!("cd '{}'; echo 2 > a.txt; git commit -qam second; echo 3 > a.txt", one.folder));
    remove(&world, &other).await;
    let left = world.sh(&format!("cd '{}'; cat a.txt; git log -1 --format=%s", one.folder));
    assert_eq!((left.trim(), known(&world).as_str()), ("3\nsecond", "2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_waits_for_the_making_that_it_undoes() {
    let world = World::start().await;
    world.sh(REPOSITORY);
    world.sh(MANY);
    let place = Place::fresh(ConversationId::random());
    let making = add_at(&world, "repo", place, WorktreeBase::Head);
    let removing = async {
        eventually(async || world.path(&format!("trees/{place}/repo")).exists().then_some(())).await;
        world.git(GitCall::RemoveWorktree { place }).await.unwrap();
    };
    let (made, ()) = tokio::join!(making, removing);
    assert!(made.unwrap().is_some());
    assert!(!world.path(&format!("trees/{place}")).exists());
    assert_eq!(known(&world), "1");
}

/// As that of a worker which was killed: nobody ends it.
#[tokio::test(flavor = "multi_thread")]
async fn a_git_that_goes_on_takes_nothing_from_the_working_tree_that_is_made_in_its_stead() {
    let (world, next) = (World::start().await, World::start().await);
    world.sh(REPOSITORY);
    world.sh(MANY);
    let id = ConversationId::random();
    let [first, second] = [Place::fresh(id), Place::fresh(id)];
    let making = add_at(&world, "repo", first, WorktreeBase::Head);
    let meanwhile = async {
        // Once there is a file beside `.git`, git has written all that others read of the tree.
        let at = world.path(&format!("trees/{first}/repo"));
        let has_files = || std::fs::read_dir(&at).is_ok_and(|found| found.count() > 1);
        let git = eventually(async || group_of(first).filter(|_| has_files())).await;
        kill_process_group(git, Signal::STOP).unwrap();
        let (source, parent) = (world.text("repo"), world.text("trees"));
        let branch = format!("openhands/{id}");
        let call = GitCall::AddWorktree { source, parent, place: second, base: WorktreeBase::Head, branch };
        next.git(call).await.unwrap();
        kill_process_group(git, Signal::CONT).unwrap();
    };
    let _ = tokio::join!(making, meanwhile);
    let made = world.sh(&format!("cd trees/{second}/repo; git status --porcelain; ls | wc -l"));
    assert_eq!(made.trim(), "5001");
}
