//! Conversations that begin with another one: copies of it, and children of it.

use serde_json::{Value, json};
use testing::model::Model;
use testing::script::{Script, Turn};
use testing::server::{Server, Start};

const BINARY: &str = env!("CARGO_BIN_EXE_manyhands");

/// More than is copied at once.
const MESSAGES: usize = 300;
const LONG: usize = 2_000;

async fn info(server: &Server, id: &str) -> Value {
    server.client.get_ok(&format!("/api/conversations/{id}")).await
}

async fn ids(server: &Server, id: &str) -> Vec<Value> {
    server.client.events(id).await.iter().map(|event| event["id"].clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_goes_on_by_itself_and_keeps_its_place_after_a_kill() {
    let turns = ["one", "two", "three"].map(Turn::text).to_vec();
    let model = Model::start(0, vec![Script::new("[[talk]]", turns)]).await.unwrap();
    let mut server = Start::new(BINARY).start();
    let work = server.project().join("work").display().to_string();
    let id = server.client.create(&model.base_url(), &work).await;
    server.client.send(&id, "Talk. [[talk]]", true).await;
    server.client.wait_for_status(&id, "finished").await;
    let head = info(&server, &id).await["leaf_event_id"].clone();
    for at in 0..MESSAGES {
        server.client.send(&id, &format!("{at} {}", "x".repeat(LONG)), false).await;
    }
    let source = ids(&server, &id).await;
    let fork = format!("/api/conversations/{id}/fork");
    let copy = server.client.post_ok(&fork, &json!({})).await["id"].as_str().unwrap().to_owned();
    assert_eq!(ids(&server, &copy).await, source);

    let navigate = format!("/api/conversations/{copy}/navigate");
    let moved = server.client.post_ok(&navigate, &json!({ "event_id": head })).await;
    assert_eq!(moved["leaf_event_id"], head);
    server = server.killed_and_restarted();
    assert_eq!(info(&server, &copy).await["leaf_event_id"], head);
    server.client.send(&copy, "And then?", true).await;
    server.client.wait_for_status(&copy, "finished").await;
    let said = server.client.get_ok(&format!("/api/conversations/{copy}/agent_final_response")).await;
    assert_eq!(said["response"], "two");
    assert_eq!(ids(&server, &id).await, source, "the source is as it was");
    let asked = server.client.get_ok(&format!("/api/conversations/{id}")).await;
    assert_eq!(asked["execution_status"], "idle");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_works_in_a_working_tree_of_its_own_that_goes_with_it() {
    let commands =
        "pwd; git branch --show-current; cat a.txt; echo 2 > a.txt; git commit -qam second; echo done";
    let model = Model::start(
        0,
        vec![Script::new("[[child]]", vec![Turn::terminal("call_1", commands), Turn::finish("Done.")])],
    )
    .await
    .unwrap();
    let server = Start::new(BINARY).start();
    let work = server.project().join("work").display().to_string();
    let parent = server.client.create(&model.base_url(), &work).await;
    let author = "git config user.name a; git config user.email a@b.c";
    let commit =
        format!("git init -q -b main . ; {author}; echo 1 > a.txt; git add a.txt; git commit -qm first");
    server.client.printed(Some(&parent), &commit).await;

    let path = format!("/api/conversations/{parent}/children");
    let made = server.client.post_ok(&path, &json!({"task": "Work. [[child]]"})).await;
    assert_eq!((&made["isolation"], &made["parent_conversation_id"]), (&json!("worktree"), &json!(parent)));
    let child = made["conversation_id"].as_str().unwrap();
    server.client.wait_for_status(child, "finished").await;
    let folder = made["workspace"].as_str().unwrap();
    let events = server.client.events(child).await;
    let seen = events.iter().find(|event| event["kind"] == "ObservationEvent").unwrap().to_string();
    for part in [folder, &format!("openhands/{child}"), "done"] {
        assert!(seen.contains(part), "{part} is not in {seen}");
    }
    let look = format!("cat a.txt; git log -1 --format=%s openhands/{child}; ls {folder}");
    assert_eq!(server.client.printed(Some(&parent), &look).await, "1\nsecond\na.txt\n");

    let (status, _) = server.client.delete(&format!("/api/conversations/{child}")).await;
    assert!(status.is_success());
    let look = format!(
        "git log -1 --format=%s openhands/{child}; git worktree list | wc -l; [ -e {folder} ] || echo gone"
    );
    // Nobody waits for it.
    testing::until(async || server.client.printed(Some(&parent), &look).await == "second\n1\ngone\n").await;
}
