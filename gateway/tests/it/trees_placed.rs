//! Working trees of conversations that come and go in the same moment, in a cluster.

use std::sync::Arc;

use control::placement::Policy;
use serde_json::{Value, json};
use types::buckets::{CONVERSATIONS, SANDBOXES};
use types::placement::{Want, Wanted};
use types::time::unix_ms;
use types::{ConversationId, LogId, Seq};

use crate::harness::Client;
use crate::harness::cluster::{World, create_body};
use crate::harness::stepped::idle;
use crate::harness::until;

const FOLDER: &str = "/workspace/repository";

fn apart(id: ConversationId) -> Value {
    let mut body = create_body(FOLDER);
    body["worktree"] = true.into();
    body["conversation_id"] = id.to_string().into();
    body
}

async fn has_own_tree(world: &World, id: ConversationId) -> bool {
    let record = world.record(&id.to_string()).await;
    record.worktree.is_some_and(|tree| tree.conversation == id && tree.folder == record.workspace.working_dir)
}

/// Its record is there until its worker has forgotten it and its log is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_that_is_made_while_an_earlier_one_goes_has_a_tree_of_its_own() {
    let (world, store) = idle(Policy::Workspace).await;
    world.supervisor.begin().await;
    // Its sandbox stays.
    let other = world.gateway().create_from(create_body(FOLDER)).await;
    let id = ConversationId::random();
    let mut plain = create_body(FOLDER);
    plain["conversation_id"] = id.to_string().into();
    world.gateway().create_from(plain).await;
    let worker = world.supervisor.worker(&world.sandbox_of(&other).await).unwrap();
    let path = format!("/api/conversations/{id}");
    let client = Client::of(world.gateway().address.clone());
    let going = store.stop_before(CONVERSATIONS, &id.hex());
    let (creating, created) = tokio::sync::oneshot::channel();
    let gone = going.meanwhile(async {
        let before = worker.git_calls();
        tokio::spawn(async move { creating.send(client.post("/api/conversations", apart(id)).await) });
        until(async || worker.git_calls() > before).await;
    });
    let (deleted, ()) = tokio::join!(world.gateway().delete(&path), gone);
    let (status, made) = created.await.unwrap();
    assert_eq!((deleted.0, status), (200, 201), "{made}");
    assert!(has_own_tree(&world, id).await, "{made}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_creation_that_was_cut_off_is_made_up_for_with_a_tree_of_its_own() {
    let (world, _) = idle(Policy::Conversation).await;
    world.supervisor.begin().await;
    let id = ConversationId::random();
    world.gateway().create_from(apart(id)).await;
    let earlier = world.record(&id.to_string()).await;
    let lost = world.wanted(&earlier.sandbox).await.unwrap();
    world.write(SANDBOXES, earlier.sandbox.as_str(), &Wanted { want: Want::Deleted, ..lost }).await;
    let (status, made) = world.gateway().post("/api/conversations", apart(id)).await;
    assert_eq!(status, 201, "{made}");
    let later = world.record(&id.to_string()).await;
    assert!(has_own_tree(&world, id).await, "{made}");
    assert_ne!((earlier.sandbox, earlier.worktree), (later.sandbox, later.worktree));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_that_gives_way_to_a_copy_leaves_no_tree() {
    let (world, _) = idle(Policy::Workspace).await;
    world.supervisor.begin().await;
    let other = world.gateway().create_from(create_body(FOLDER)).await;
    let (id, sandbox) = (ConversationId::random(), world.sandbox_of(&other).await);
    let mark = json!({"control": {"type": "forked", "at": unix_ms()}}).to_string();
    let log = LogId::conversation(&sandbox, id);
    world.ports.log.append(&log, Seq::ZERO, vec![mark.into()]).await.unwrap();
    let (status, refused) = world.gateway().post("/api/conversations", apart(id)).await;
    assert_eq!(status, 503, "{refused}");
    let worker = world.supervisor.worker(&sandbox).unwrap();
    until(async || worker.removed().iter().any(|place| place.conversation == id)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_child_works_in_a_tree_that_went_with_its_parent_meanwhile() {
    let (world, store) = idle(Policy::Workspace).await;
    world.supervisor.begin().await;
    // Their sandbox stays.
    world.gateway().create_from(create_body(FOLDER)).await;
    let id = ConversationId::random();
    let parent = world.gateway().create_from(apart(id)).await;
    let path = format!("/api/conversations/{parent}");
    let stored = store.stop_before(CONVERSATIONS, "for the child");
    let deleting = stored.meanwhile(async { assert_eq!(world.gateway().delete(&path).await.0, 200) });
    let task = json!({"task": "for the child", "isolation": "shared"});
    let children = format!("{path}/children");
    let (refused, ()) = tokio::join!(world.gateway().post(&children, task), deleting);
    assert_eq!(refused.0, 404, "{refused:?}");
    assert_eq!(world.gateway().get("/api/conversations/count").await.1, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sandbox_that_was_started_for_a_conversation_that_is_not_made_is_given_back() {
    let (world, _) = idle(Policy::Conversation).await;
    world.supervisor.begin().await;
    let id = ConversationId::random();
    let mut body = apart(id);
    body["worktree_options"] = json!({"base": "ref", "ref": "nowhere"});
    assert_eq!(world.gateway().post("/api/conversations", body).await.0, 422);
    until(async || {
        let sandboxes = world.ports.kv.list(SANDBOXES).await.unwrap();
        let all = sandboxes.iter().map(|(_, entry)| serde_json::from_slice::<Wanted>(&entry.value).unwrap());
        let mut own = all.filter(|wanted| wanted.place == id.hex());
        own.all(|wanted| wanted.want == Want::Deleted)
    })
    .await;
}

/// A store that gives no answer may have taken it, or take it later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tree_stays_for_now_whose_conversation_may_yet_be_stored() {
    let (world, store) = idle(Policy::Workspace).await;
    world.supervisor.begin().await;
    let other = world.gateway().create_from(create_body(FOLDER)).await;
    let worker = world.supervisor.worker(&world.sandbox_of(&other).await).unwrap();
    store.refuse_once(CONVERSATIONS);
    let (status, refused) = world.gateway().post("/api/conversations", apart(ConversationId::random())).await;
    assert_eq!(status, 503, "{refused}");
    // What is certainly not made is removed, and would be so after that one.
    let never = ConversationId::random();
    let mut body = apart(never);
    body["worktree_options"] = json!({"base": "ref", "ref": "nowhere"});
    assert_eq!(world.gateway().post("/api/conversations", body).await.0, 422);
    until(async || !worker.removed().is_empty()).await;
    let removed: Vec<_> = worker.removed().iter().map(|place| place.conversation).collect();
    assert_eq!(removed, [never]);
}

/// It takes its time, and ends with the process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sandbox_is_given_back_before_the_tree_of_its_last_conversation_is_removed() {
    let (world, _) = idle(Policy::Conversation).await;
    world.supervisor.begin().await;
    let id = world.gateway().create_from(apart(ConversationId::random())).await;
    let sandbox = world.sandbox_of(&id).await;
    world.supervisor.worker(&sandbox).unwrap().script(|script| script.removes = Some(Arc::default()));
    assert_eq!(world.gateway().delete(&format!("/api/conversations/{id}")).await.0, 200);
    assert_eq!(world.wanted(&sandbox).await.unwrap().want, Want::Deleted);
}
