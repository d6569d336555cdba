//! Conversations that others start, and those in working trees of their own, over REST.

use serde_json::{Value, json};
use types::ConversationId;

use crate::harness::{Server, create_body, start};

const NOBODY: &str = "00000000-0000-4000-8000-000000000001";

fn id_of(text: &str) -> ConversationId {
    text.parse().unwrap()
}

async fn start_child(server: &Server, parent: &str, body: Value) -> (u16, Value) {
    server.post(&format!("/api/conversations/{parent}/children"), body).await
}

/// A body whose workspace is in a repository, as the worker sees it.
fn in_repository() -> Value {
    let mut body = create_body();
    body["workspace"]["working_dir"] = "/repository/a".into();
    body
}

async fn suffix(server: &Server, id: &str) -> String {
    let copy = server.worker.working_copy(id_of(id)).await;
    copy.agent["agent_context"]["system_message_suffix"].as_str().unwrap_or_default().to_owned()
}

/// Defect B21 of the peer: the child's record has the first message of its parent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_child_has_no_message_of_its_parent() {
    let server = start().await;
    let mut body = create_body();
    body["initial_message"] = json!({"content": [{"type": "text", "text": "for the parent"}], "run": false});
    body["tags"] = json!({"team": "a"});
    let parent = server.create_from(body).await;
    let (status, made) =
        start_child(&server, &parent, json!({"task": "for the child", "title": " A\nchild "})).await;
    assert_eq!(status, 201, "{made}");
    let child = made["conversation_id"].as_str().unwrap();
    assert_eq!((&made["parent_conversation_id"], &made["title"]), (&json!(parent), &json!("A child")));
    assert_eq!(
        (&made["url"], &made["workspace"], &made["isolation"]),
        (&Value::Null, &json!("/tmp/w"), &json!("shared"))
    );
    assert_eq!(server.messages(child).await[..1], ["for the child"]);
    server.until_status(child, "finished").await;
    let info = server.info(child).await;
    assert_eq!((&info["parent_conversation_id"], &info["tags"]), (&json!(parent), &json!({"team": "a"})));
    assert_eq!(info["forked_from_conversation_id"], Value::Null);
    assert_eq!(server.info(&parent).await["sub_conversation_ids"], json!([child]));
    assert_eq!(server.messages(&parent).await, ["for the parent"]);
    let copy = server.worker.working_copy(id_of(child)).await;
    assert_eq!(copy.agent["llm"]["api_key"], "sk-secret");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_child_that_cannot_be_started_leaves_nothing() {
    let server = start().await;
    let parent = server.create().await;
    let task = json!({"task": "t"});
    let (status, refused) = start_child(&server, NOBODY, task.clone()).await;
    assert_eq!((status, refused), (404, json!({"detail": "Parent conversation not found"})));
    let (status, refused) = start_child(&server, &parent, json!({"task": ""})).await;
    assert_eq!((status, &refused["detail"][0]["type"]), (422, &json!("string_too_short")));
    assert_eq!(refused["detail"][0]["loc"], json!(["body", "task"]));
    let (status, refused) = start_child(&server, &parent, json!({"task": "t", "isolation": "none"})).await;
    assert_eq!((status, &refused["detail"][0]["loc"]), (422, &json!(["body", "isolation"])));
    server.worker.script(|script| script.busy = true);
    let (status, refused) = start_child(&server, &parent, task).await;
    assert_eq!(
        (status, &refused["detail"]),
        (429, &json!("Conversation run limit reached. Retry the request later."))
    );
    assert_eq!(server.get("/api/conversations/count").await.1, 1);
    assert_eq!(server.info(&parent).await["sub_conversation_ids"], json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_child_works_in_a_working_tree_of_its_own_unless_it_is_to_share() {
    let server = start().await;
    let parent = server.create_from(in_repository()).await;
    let (_, made) = start_child(&server, &parent, json!({"task": "t"})).await;
    let child = made["conversation_id"].as_str().unwrap();
    let folder = made["workspace"].as_str().unwrap();
    assert_eq!(made["isolation"], "worktree");
    assert!(folder.starts_with(&format!("/worktrees/{child}-")), "{folder}");
    assert_eq!(server.worker.working_copy(id_of(child)).await.working_dir, folder);
    assert!(suffix(&server, child).await.contains(&format!("Branch: openhands/{child}")));
    let (_, made) = start_child(&server, &parent, json!({"task": "t", "isolation": "shared"})).await;
    assert_eq!((&made["isolation"], &made["workspace"]), (&json!("shared"), &json!("/repository/a")));
    assert_eq!(suffix(&server, made["conversation_id"].as_str().unwrap()).await, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_can_be_made_in_a_working_tree_of_its_own() {
    let server = start().await;
    let mut body = in_repository();
    body["worktree"] = true.into();
    body["worktree_options"] = json!({"base": "ref", "ref": "v1", "branch_prefix": "mine/"});
    let id = server.create_from(body.clone()).await;
    let info = server.info(&id).await;
    let folder = info["workspace"]["working_dir"].as_str().unwrap();
    assert!(folder.starts_with(&format!("/worktrees/{id}-")) && folder.ends_with("/repository"), "{folder}");
    let told = suffix(&server, &id).await;
    assert!(told.contains(&format!("Branch: mine/{id}")) && told.contains("`v1`"), "{told}");

    body["workspace"]["working_dir"] = "/tmp/w".into();
    let id = server.create_from(body.clone()).await;
    assert_eq!(server.info(&id).await["workspace"]["working_dir"], "/tmp/w", "there is no repository");
    for (options, loc) in [
        (json!({"base": "ref"}), json!(["body", "worktree_options"])),
        (json!({"ref": "-x"}), json!(["body", "worktree_options", "ref"])),
        (json!({"branch_prefix": "a b"}), json!(["body", "worktree_options", "branch_prefix"])),
        (json!({"branch_prefix": "a..b/"}), json!(["body", "worktree_options", "branch_prefix"])),
        (json!({"branch_prefix": "a.lock/"}), json!(["body", "worktree_options", "branch_prefix"])),
        (json!({"branch_prefix": "a//"}), json!(["body", "worktree_options", "branch_prefix"])),
    ] {
        body["worktree_options"] = options;
        let (status, refused) = server.post("/api/conversations", body.clone()).await;
        assert_eq!((status, &refused["detail"][0]["loc"]), (422, &loc), "{refused}");
    }
}
