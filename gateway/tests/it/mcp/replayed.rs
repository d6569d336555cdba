//! What the peer answered to the same calls.

use serde_json::{Value, json};

use super::post;
use crate::harness::start;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_peers_refusals_are_ours() {
    let server = start().await;
    let problem = |kind: &str, loc: Value, msg: &str| json!([{"type": kind, "loc": loc, "msg": msg}]);
    let both = "'auth' cannot be combined with an explicit top-level 'Authorization' header; use \
                auth.strategy='header' instead.";
    let misplaced = "OAuth authentication metadata belongs under auth.authentication.";
    let with_reason = |loc: Value, why: &str| json!([{"type": "value_error", "loc": loc, "msg": format!("Value error, {why}"), "ctx": {"error": why}}]);
    let authorized = json!({"url": "http://x", "headers": {"Authorization": "b"},
        "auth": {"strategy": "bearer", "value": "t"}});
    for (path, body, status, detail) in [
        (
            "/api/mcp/test",
            json!({"server": {}}),
            422,
            problem("missing", json!(["body", "server", "http", "url"]), "Field required"),
        ),
        (
            "/api/mcp/test",
            json!({ "server": authorized }),
            422,
            with_reason(json!(["body", "server", "http"]), both),
        ),
        (
            "/api/mcp/test",
            json!({"server": {"url": "http://x", "authentication": {}}}),
            422,
            with_reason(json!(["body"]), misplaced),
        ),
        (
            "/api/mcp/oauth/start",
            json!({"server": {"url": "http://127.0.0.1:9/mcp"}}),
            400,
            json!("MCP OAuth start requires auth.strategy='oauth2'"),
        ),
        (
            "/api/mcp/oauth/callback/zz",
            json!({"callback_url": "http://localhost/x"}),
            404,
            json!("MCP OAuth job not found"),
        ),
    ] {
        assert_eq!(post(&server, path, body).await, (status, json!({ "detail": detail })), "{path}");
    }
    let (status, answer) = server.get("/api/mcp/oauth/status/zz").await;
    assert_eq!((status, answer), (404, json!({"detail": "MCP OAuth job not found"})));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_that_cannot_be_begun_is_a_job_that_has_failed() {
    let server = start().await;
    let asking =
        json!({"server": {"url": "http://127.0.0.1:9/mcp", "auth": {"strategy": "oauth2"}}, "timeout": 3});
    let (status, answer) = post(&server, "/api/mcp/oauth/start", asking).await;
    assert_eq!((status, &answer["ok"], &answer["error_kind"]), (200, &json!(false), &json!("connection")));
    let job = answer["job_id"].as_str().unwrap();
    let (_, now) = server.get(&format!("/api/mcp/oauth/status/{job}")).await;
    assert_eq!((&now["status"], &now["error"]), (&json!("failed"), &answer["error"]));
    let body = json!({"callback_url": "http://localhost/callback"});
    let refused = post(&server, &format!("/api/mcp/oauth/callback/{job}"), body).await;
    assert_eq!(refused, (409, json!({"detail": "OAuth callback is not ready"})));
}
