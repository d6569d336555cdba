//! What agents of other kinds could be asked for.

use serde_json::json;

use crate::harness::{create_body, start};

const NOBODY: &str = "00000000-0000-4000-8000-000000000001";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_no_agent_here_can_do_is_refused_in_the_peers_words() {
    let server = start().await;
    let id = server.create().await;
    let none = "No agent context available. Configure agent_context with registered_marketplaces to use load_plugin().";
    let acp = "switch_acp_model is only supported for ACP conversations.";
    for (what, body, detail) in [
        ("load_plugin", json!({"plugin_ref": "x@y"}), none),
        ("switch_acp_model", json!({"model": "m"}), acp),
    ] {
        let at = |id: &str| format!("/api/conversations/{id}/{what}");
        assert_eq!(server.post(&at(&id), body.clone()).await, (400, json!({ "detail": detail })));
        assert_eq!(server.post(&at(NOBODY), body).await, (404, json!({"detail": "Not Found"})));
        assert_eq!(server.post(&at(&id), json!({})).await.0, 422);
    }
    let mut body = create_body();
    body["agent"]["agent_context"] = json!({"registered_marketplaces": [{"name": "m", "source": "/m"}]});
    let id = server.create_from(body).await;
    let path = format!("/api/conversations/{id}/load_plugin");
    let (status, refused) = server.post(&path, json!({"plugin_ref": "x".repeat(1_000)})).await;
    assert_eq!(status, 400);
    assert!(refused["detail"].as_str().unwrap().len() < 400, "{refused}");
}
