//! Where commands run as another user than the worker, links of that user lead the worker nowhere.

use std::os::unix::fs::MetadataExt;

use bytes::Bytes;
use ports::rpc::Code;
use tools::hands;
use types::ConversationId;
use types::calls::{FileCall, GitAnswer, GitCall, Scope};
use types::placement::CommandUser;
use types::worktree::{Place, Worktree, WorktreeBase};

use crate::services::World;

const USER: u32 = 10_001;

/// With a workspace of the user, which has a repository in it, and a folder beside that is not his. `None`: nobody may give
/// files away here.
async fn world(test: &str) -> Option<World> {
    if !rustix::process::geteuid().is_root() {
        testing::may_skip(test, "only root may give files away");
        return None;
    }
    hands::choose(CommandUser { uid: USER, gid: USER }).unwrap();
    let world = World::start().await;
    world.sh("git config --global safe.directory '*'");
    world.sh("git init -q -b main repo; cd repo; echo 1 > a.txt; git add .; git commit -qm first");
    world.sh(&format!("chmod 755 ..; mkdir ../private; chown -R {USER} ."));
    Some(world)
}

async fn add(world: &World, source: &str) -> Result<Option<Worktree>, Code> {
    let (source, parent) = (world.text(source), world.text("trees"));
    let place = Place::fresh(ConversationId::random());
    let call =
        GitCall::AddWorktree { source, parent, place, base: WorktreeBase::Head, branch: place.to_string() };
    match world.git(call).await {
        Ok(GitAnswer::Worktree(worktree)) => Ok(worktree),
        Ok(other) => panic!("{other:?}"),
        Err(fault) => Err(fault.code),
    }
}

async fn prepare(world: &World, path: &str) -> Result<GitAnswer, Code> {
    world.git(GitCall::Prepare { path: world.text(path) }).await.map_err(|fault| fault.code)
}

fn private(world: &World) -> String {
    world.sh("ls -A ../private")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_made_for_the_user_is_his() {
    let Some(world) = world("what_is_made_for_the_user_is_his").await else { return };
    let made = add(&world, "repo").await.unwrap().unwrap();
    for path in [made.folder.clone(), format!("{}/.git", made.root), format!("{}/a.txt", made.root)] {
        assert_eq!(std::fs::metadata(&path).unwrap().uid(), USER, "{path}");
    }
    prepare(&world, "new/folder").await.unwrap();
    let made = world.sh(&format!("find new ! -user {USER}"));
    assert_eq!((made.as_str(), world.path("new/folder/.git/HEAD").exists()), ("", true));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_folder_and_no_repository_is_made_where_a_link_of_the_user_leads() {
    let Some(world) = world("no_folder_and_no_repository_is_made").await else { return };
    world.sh("ln -s ../private link");
    assert_eq!(prepare(&world, "link/.ssh").await, Err(Code::Forbidden));
    assert_eq!(prepare(&world, "link").await, Err(Code::Forbidden));
    assert_eq!(private(&world), "");
    world.sh(&format!("mkdir own; ln -s own other; chown {USER} own"));
    prepare(&world, "other/folder").await.unwrap();
    assert!(world.path("own/folder/.git").exists(), "his own folders are his");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_working_tree_is_made_where_a_link_of_the_user_leads() {
    let Some(world) = world("no_working_tree_is_made_where_a_link_leads").await else { return };
    world.sh("ln -s ../private trees");
    assert_eq!(add(&world, "repo").await, Err(Code::Forbidden));
    assert_eq!(private(&world), "");
    // What is a folder in the working tree that is there is a link in the commit.
    world.sh(&format!(
        "rm trees; cd repo; ln -s ../../../../private sub; git add .; git commit -qm link
        rm sub; mkdir -p sub/.ssh; chown -R {USER} ."
    ));
    assert_eq!(add(&world, "repo/sub/.ssh").await, Err(Code::Forbidden));
    assert_eq!(private(&world), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_that_keeps_its_working_trees_in_a_folder_of_others_has_none() {
    let Some(world) = world("a_repository_that_keeps_its_working_trees").await else { return };
    world.sh("mv repo/.git ../private/repo; chown -R 0 ../private; ln -s ../../private/repo repo/.git");
    assert_eq!(add(&world, "repo").await, Err(Code::Forbidden));
    assert!(!world.path("../private/repo/worktrees").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_file_of_a_client_comes_where_a_link_of_the_user_leads() {
    let Some(world) = world("no_file_of_a_client_comes_where_a_link_leads").await else { return };
    world.sh(&format!(
        "ln -s ../private link; echo 1 > ../private/there; mkdir own; chown {USER} own; ln -s own other"
    ));
    let in_workspace = world.scope();
    let make = async |scope: &Scope, path: &str| {
        let call = FileCall::MakeDirectory { scope: scope.clone(), path: world.text(path) };
        world.file::<()>(call, Bytes::new()).await.map(drop).map_err(|fault| fault.code)
    };
    let upload = async |scope: &Scope, path: &str| {
        world.upload(scope, &world.text(path), b"2").await.map(drop).map_err(|fault| fault.code)
    };
    let everywhere = Scope::default();
    for path in ["link/new", "link/there", "link/deep/new"] {
        assert_eq!(upload(&everywhere, path).await, Err(Code::Forbidden), "{path}");
        assert!(upload(&in_workspace, path).await.is_err(), "{path}");
    }
    for path in ["link/new", "link/deep/new"] {
        assert_eq!(make(&everywhere, path).await, Err(Code::Forbidden), "{path}");
    }
    assert_eq!(world.sh("ls -A ../private; cat ../private/there"), "there\n1");
    for scope in [&everywhere, &in_workspace] {
        upload(scope, "other/deep/new").await.unwrap();
        make(scope, "other/folder").await.unwrap();
        assert_eq!(world.sh(&format!("find own ! -user {USER}")), "", "his own folders are his");
    }
    let named = world.path("..").canonicalize().unwrap().join("private/there");
    world.upload(&everywhere, named.to_str().unwrap(), b"2").await.unwrap();
    assert_eq!(world.sh("cat ../private/there"), "2", "it was named itself");
}
