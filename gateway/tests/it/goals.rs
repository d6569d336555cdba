//! Goals of conversations over REST.

use std::time::Duration;

use serde_json::{Value, json};
use types::calls::Command;

use crate::harness::{Server, start};

const NOBODY: &str = "00000000-0000-4000-8000-000000000001";

async fn goal(server: &Server, id: &str, what: &str, body: Value) -> (u16, Value) {
    server.post(&format!("/api/conversations/{id}/goal{what}"), body).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_goal_is_begun_and_stopped() {
    let server = start().await;
    let id = server.create().await;
    assert_eq!(
        goal(&server, &id, "", json!({"objective": "All tests pass."})).await,
        (200, json!({"success": true}))
    );
    server.until_status(&id, "finished").await;
    let begun =
        Command::StartGoal { objective: "All tests pass.".to_owned(), max_iterations: 10, once: None };
    assert!(server.worker.seen().contains(&begun));
    let path = format!("/api/conversations/{id}/goal/stop");
    assert_eq!(server.send(reqwest::Method::POST, &path, None).await, (200, json!({"success": true})));
    assert!(server.worker.seen().contains(&Command::StopGoal {}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_goal_is_refused_in_the_peers_words() {
    let server = start().await;
    let id = server.create().await;
    let busy = "Conversation run limit reached. Retry the request later.";
    let x = json!({"objective": "x"});
    let refused = async |id: &str, what: &str, body: Value| {
        let (status, answer) = goal(&server, id, what, body).await;
        (status, answer["detail"].clone())
    };
    for what in ["", "/stop", "/resume"] {
        assert_eq!(refused(NOBODY, what, x.clone()).await, (404, json!("Not Found")));
    }
    assert_eq!(
        refused(&id, "", json!({"objective": " "})).await,
        (400, json!("Goal objective must not be empty."))
    );
    assert_eq!(refused(&id, "/resume", json!({})).await, (400, json!("no_resumable_goal")));
    assert_eq!(refused(&id, "", json!({"objective": "\"".repeat(4 * 1024)})).await.0, 413);
    for (rounds, kind) in [(0, "greater_than_equal"), (1_001, "less_than_equal")] {
        let (status, detail) = refused(&id, "", json!({"objective": "x", "max_iterations": rounds})).await;
        assert_eq!((status, &detail[0]["type"]), (422, &json!(kind)));
        assert_eq!(detail[0]["loc"], json!(["body", "max_iterations"]));
    }
    server.worker.script(|script| script.busy = true);
    assert_eq!(refused(&id, "", x.clone()).await, (429, json!(busy)));
    server.worker.script(|script| (script.busy, script.takes) = (false, Duration::from_secs(3_600)));
    assert_eq!(server.run(&id).await.0, 200);
    let running = json!("Conversation run or goal loop already running.");
    assert_eq!(refused(&id, "", x).await, (409, running));
}
