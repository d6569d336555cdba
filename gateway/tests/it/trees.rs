//! Working trees of conversations, over REST: whose they are, and when they go.

use std::sync::Arc;

use futures_util::future::join_all;
use ports::rpc::Code;
use serde_json::{Value, json};
use tokio::sync::Notify;
use types::buckets::LEFT_TREES;
use types::calls::Command;
use types::worktree::Place;
use types::{ConversationId, SandboxId};

use crate::harness::{Client, Server, create_body, start, until};

const ID: &str = "00000000-0000-4000-8000-000000000003";

/// A body whose workspace is in a repository, as the worker sees it.
fn apart() -> Value {
    let mut body = create_body();
    body["workspace"]["working_dir"] = "/repository/a".into();
    body["worktree"] = true.into();
    body
}

fn apart_with(id: &str) -> Value {
    let mut body = apart();
    body["conversation_id"] = id.into();
    body
}

async fn folder(client: &Client, id: &str) -> String {
    client.info(id).await["workspace"]["working_dir"].as_str().unwrap().to_owned()
}

/// The place that a working tree has by its path.
fn place(folder: &str) -> Place {
    folder.split('/').find_map(|name| name.parse().ok()).expect(folder)
}

async fn delete(client: &Client, id: &str) {
    assert_eq!(client.delete(&format!("/api/conversations/{id}")).await.0, 200);
}

async fn until_removed(server: &Server, places: &[Place]) {
    until(async || places.iter().all(|place| server.worker.removed().contains(place))).await;
}

/// Those that could not be removed with their conversations.
async fn noted(server: &Server) -> Option<Vec<Place>> {
    let noted = server.ports.kv.get(LEFT_TREES, SandboxId::shared().as_str()).await.unwrap();
    noted.map(|noted| serde_json::from_slice(&noted.value).unwrap())
}

/// Defect C4 of the peer, whose git runs in the way of everybody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_working_tree_is_made_nobody_else_waits() {
    let server = start().await;
    let other = server.create().await;
    let made = Arc::new(Notify::new());
    server.worker.script(|script| script.makes = Some(made.clone()));
    let making = tokio::spawn({
        let client = Client::of(server.address.clone());
        async move { client.post("/api/conversations", apart_with(ID)).await }
    });
    let others = async {
        for _ in 0..10 {
            server.create().await;
            assert_eq!(server.say(&other, "hi", false).await.0, 200);
            assert_eq!(server.get("/api/conversations/search").await.0, 200);
            assert_eq!(server.bash("/api", None).await, 200);
        }
    };
    tokio::time::timeout(testing::PATIENCE, others).await.expect("they wait");
    assert!(!making.is_finished());
    made.notify_one();
    assert_eq!(making.await.unwrap().0, 201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worktree_goes_with_its_last_conversation() {
    let server = start().await;
    let id = server.create_from(apart()).await;
    let tree = place(&folder(&server, &id).await);
    let (status, copy) = server.post(&format!("/api/conversations/{id}/fork"), json!({})).await;
    assert_eq!(status, 201, "{copy}");
    delete(&server, &id).await;
    // What it had removed would be so before this one's is.
    let other = server.create_from(apart()).await;
    let others = place(&folder(&server, &other).await);
    delete(&server, &other).await;
    until_removed(&server, &[others]).await;
    assert_eq!(server.worker.removed(), [others], "the copy still works there");
    delete(&server, copy["id"].as_str().unwrap()).await;
    until_removed(&server, &[tree]).await;
    let forgotten = server.worker.seen().iter().filter(|one| matches!(one, Command::Forget { .. })).count();
    assert_eq!(forgotten, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worktree_goes_when_its_last_conversations_are_deleted_together() {
    let server = start().await;
    for _ in 0..10 {
        let id = server.create_from(apart()).await;
        let tree = place(&folder(&server, &id).await);
        let (_, copy) = server.post(&format!("/api/conversations/{id}/fork"), json!({})).await;
        let copy = copy["id"].as_str().unwrap();
        tokio::join!(delete(&server, &id), delete(&server, copy));
        until_removed(&server, &[tree]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_made_for_a_conversation_that_another_gateway_makes_is_removed_and_nothing_else() {
    let server = start().await;
    let other = server.replica().await;
    let held = Arc::new(Notify::new());
    server.worker.script(|script| script.makes = Some(held.clone()));
    let gateways: [&Client; 2] = [&server, &other];
    let both = join_all(gateways.map(|gateway| gateway.post("/api/conversations", apart_with(ID))));
    let releasing = async {
        until(async || server.worker.git_calls() == 2).await;
        // Both wait by now, or come to it.
        held.notify_one();
        held.notify_one();
    };
    let (answers, ()) = tokio::join!(both, releasing);
    let mut statuses: Vec<_> = answers.iter().map(|answer| answer.0).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 201]);
    until(async || server.worker.removed().len() == 1).await;
    let stays = place(&folder(&server, ID).await);
    assert!(!server.worker.removed().contains(&stays), "the conversation works there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_that_is_made_anew_under_its_id_has_nothing_of_the_earlier_ones_tree() {
    let server = start().await;
    server.create_from(apart_with(ID)).await;
    let earlier = place(&folder(&server, ID).await);
    delete(&server, ID).await;
    server.create_from(apart_with(ID)).await;
    let later = place(&folder(&server, ID).await);
    assert_ne!(earlier, later);
    until_removed(&server, &[earlier]).await;
    assert_eq!(server.worker.removed(), [earlier]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_begun_of_a_tree_that_is_not_made_is_removed() {
    let server = start().await;
    for code in [Code::Unavailable, Code::Internal, Code::Invalid] {
        server.worker.script(|script| script.makes_no_tree = Some(code));
        let before = server.worker.removed().len();
        assert!(server.post("/api/conversations", apart()).await.0 >= 400);
        until(async || server.worker.removed().len() == before + 1).await;
    }
    assert_eq!(server.get("/api/conversations/count").await.1, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_trees_that_nobody_works_in_are_removed_when_another_one_is_made() {
    let server = start().await;
    let id = server.create_from(apart()).await;
    let used = place(&folder(&server, &id).await);
    let left = Place::fresh(ConversationId::random());
    let earlier = Place::fresh(used.conversation);
    server.worker.script(|script| script.old_trees = vec![used, left, earlier]);
    server.create_from(apart()).await;
    until_removed(&server, &[left, earlier]).await;
    assert!(!server.worker.removed().contains(&used));
}

/// As where a store was put back that is older than they are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_old_trees_that_nobody_knows_of_those_stay_with_something_in_them_that_is_not_committed() {
    let server = start().await;
    let [clean, unsaved] = [(); 2].map(|()| Place::fresh(ConversationId::random()));
    server.worker.script(|script| {
        script.old_trees = vec![clean, unsaved];
        script.unsaved = vec![unsaved];
    });
    server.create_from(apart()).await;
    until_removed(&server, &[clean]).await;
    until(async || server.worker.spared() == [unsaved]).await;
    assert_eq!(server.worker.removed(), [clean]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn very_many_old_trees_that_nobody_knows_of_go_bit_by_bit() {
    let server = start().await;
    let places: Vec<Place> = (0..33).map(|_| Place::fresh(ConversationId::random())).collect();
    server.worker.script(|script| script.old_trees = places.clone());
    server.create_from(apart()).await;
    until(async || server.worker.removed().len() == 32).await;
    server.worker.script(|script| script.old_trees.retain(|place| !server.worker.removed().contains(place)));
    until(async || {
        server.create_from(apart()).await;
        places.iter().all(|place| server.worker.removed().contains(place))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_left_tree_is_found_behind_however_many_that_are_worked_in() {
    let server = start().await;
    let mut used = Vec::new();
    for _ in 0..3 {
        used.push(place(&folder(&server, &server.create_from(apart()).await).await));
    }
    // None comes after it.
    let last: ConversationId = "ffffffff-ffff-4fff-bfff-ffffffffffff".parse().unwrap();
    let left = Place::fresh(last);
    server.worker.script(|script| {
        script.old_trees = used.iter().copied().chain([left]).collect();
        script.told_at_once = 1;
    });
    server.create_from(apart()).await;
    until_removed(&server, &[left]).await;
    assert_eq!(server.worker.removed(), [left]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tree_that_cannot_be_removed_keeps_no_other_one_and_stays_noted() {
    let server = start().await;
    let [stuck, deleted, unknown] = [(); 3].map(|()| Place::fresh(ConversationId::random()));
    let notes = serde_json::to_vec(&[stuck, deleted]).unwrap().into();
    let sandbox = SandboxId::shared();
    server.ports.kv.put(LEFT_TREES, sandbox.as_str(), notes, ports::Expect::Absent).await.unwrap();
    server.worker.script(|script| (script.old_trees, script.stuck) = (vec![unknown], vec![stuck]));
    server.create_from(apart()).await;
    until_removed(&server, &[deleted, unknown]).await;
    until(async || noted(&server).await == Some(vec![stuck])).await;
    server.worker.script(|script| (script.old_trees, script.stuck) = (Vec::new(), Vec::new()));
    until(async || {
        server.create_from(apart()).await;
        server.worker.removed().contains(&stuck)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_noted_tree_that_the_store_says_is_used_stays_and_its_note_goes() {
    let server = start().await;
    let used = place(&folder(&server, &server.create_from(apart()).await).await);
    let left = Place::fresh(ConversationId::random());
    let notes = serde_json::to_vec(&[used, left]).unwrap().into();
    let sandbox = SandboxId::shared();
    server.ports.kv.put(LEFT_TREES, sandbox.as_str(), notes, ports::Expect::Absent).await.unwrap();
    until(async || {
        server.create_from(apart()).await;
        noted(&server).await == Some(Vec::new())
    })
    .await;
    assert_eq!(server.worker.removed(), [left]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sandbox_is_swept_by_one_at_a_time() {
    let server = start().await;
    let (left, held) = (Place::fresh(ConversationId::random()), Arc::new(Notify::new()));
    server.worker.script(|script| {
        script.old_trees = vec![left];
        script.removes = Some(held.clone());
    });
    for _ in 0..4 {
        server.create_from(apart()).await;
        until(async || server.worker.sweeps() > 0).await;
    }
    held.notify_one();
    until_removed(&server, &[left]).await;
    server.worker.script(|script| script.old_trees = Vec::new());
    let mut made = 0;
    until(async || {
        made += 1;
        server.create_from(apart()).await;
        server.worker.sweeps() > 1
    })
    .await;
    assert!(server.worker.sweeps() <= 1 + made, "each of the first four has swept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tree_that_could_not_be_removed_with_its_conversation_goes_when_another_one_is_made() {
    let server = start().await;
    let id = server.create_from(apart()).await;
    let tree = place(&folder(&server, &id).await);
    server.worker.script(|script| script.removes_no_tree = Some(Code::Unavailable));
    delete(&server, &id).await;
    until(async || noted(&server).await == Some(vec![tree])).await;
    server.worker.script(|script| {
        script.removes_no_tree = None;
        // Whatever is in it: it was deleted.
        (script.old_trees, script.unsaved) = (vec![tree], vec![tree]);
    });
    server.create_from(apart()).await;
    until_removed(&server, &[tree]).await;
    until(async || noted(&server).await == Some(Vec::new())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_cannot_be_read_keeps_no_tree() {
    let server = start().await;
    let id = server.create_from(apart()).await;
    let tree = place(&folder(&server, &id).await);
    let key = ConversationId::random().hex();
    server.ports.kv.put("CONVERSATIONS", &key, "{torn".into(), ports::Expect::Absent).await.unwrap();
    delete(&server, &id).await;
    until_removed(&server, &[tree]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_deletes_a_conversation_does_not_wait_until_its_files_are_removed() {
    let server = start().await;
    let id = server.create_from(apart()).await;
    let tree = place(&folder(&server, &id).await);
    let held = Arc::new(Notify::new());
    server.worker.script(|script| script.removes = Some(held.clone()));
    tokio::time::timeout(testing::PATIENCE, delete(&server, &id)).await.expect("an answer");
    assert_eq!(server.worker.removed(), []);
    held.notify_one();
    until_removed(&server, &[tree]).await;
}
