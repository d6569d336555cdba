//! A server that is started without its settings: what it answers until it is told them, who may tell them, and that it then
//! serves as any other.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use testing::client::Client;
use testing::server::{Server, Start};

const BINARY: &str = env!("CARGO_BIN_EXE_manyhands");
const BOOT_KEY: &str = "the key of the pool";
const KEY: &str = "the key of the user";

fn dormant() -> (Start, Server) {
    let start = Start::new(BINARY).with("OH_DEFERRED_INIT", "true").with("OH_SECRET_KEY", BOOT_KEY);
    let server = start.start();
    (start, server)
}

async fn tell(server: &Server, key: Option<&str>, settings: &Value) -> (u16, Value) {
    let request = server.client.request(Method::POST, "/api/init").json(settings);
    let request = match key {
        Some(key) => request.header("X-Init-API-Key", key),
        None => request,
    };
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

fn state(state: &str, error: Value) -> Value {
    json!({ "state": state, "error": error })
}

#[tokio::test]
async fn a_dormant_server_answers_probes_and_nothing_else() {
    let (_start, server) = dormant();
    for (path, status) in [("/alive", "ok"), ("/health", "ok"), ("/ready", "ready")] {
        assert_eq!(server.client.get_ok(path).await, json!({ "status": status }), "{path}");
    }
    assert_eq!(server.client.get_ok("/api/init").await, state("dormant", Value::Null));
    let refused =
        json!({ "detail": "server is in deferred-init state 'dormant'; call POST /api/init first" });
    for path in ["/api/conversations/count", "/api/settings", "/v1/models", "/api/nothing"] {
        assert_eq!(
            server.client.get(path).await,
            (StatusCode::SERVICE_UNAVAILABLE, refused.clone()),
            "{path}"
        );
    }
    let upgrade = server.client.request(Method::GET, "/sockets/bash-events");
    let upgrade = upgrade.header("connection", "upgrade").header("upgrade", "websocket");
    assert_eq!(upgrade.send().await.unwrap().status(), 403);
    assert!(!server.folder().join("workspace").exists(), "nothing of it has begun");
}

#[tokio::test]
async fn who_shows_the_key_of_the_start_tells_the_settings_and_all_of_them_count() {
    let (_start, server) = dormant();
    let settings = json!({
        "session_api_keys": [KEY],
        "secret_key": "the user's own",
        "conversations_path": "elsewhere/conversations",
        "allow_cors_origins": ["https://pages.example"],
        "web_url": "https://proxy.example/prefix",
        "env": { "TOLD_TOKEN": "shown", "OH_TOLD": "hidden" },
        "telemetry": { "mode": "disabled" },
    });
    assert_eq!(tell(&server, None, &settings).await.0, 401);
    assert_eq!(tell(&server, Some(KEY), &settings).await.0, 401);
    assert_eq!(tell(&server, Some(BOOT_KEY), &settings).await, (200, state("ready", Value::Null)));

    assert_eq!(server.client.get("/api/conversations/count").await.0, StatusCode::UNAUTHORIZED);
    let client = Client::new(&server.url, Some(KEY));
    assert_eq!(client.get_ok("/prefix/api/conversations/count").await, 0);
    let inherited = client.printed(None, "env").await;
    assert!(inherited.contains("TOLD_TOKEN=shown") && !inherited.contains("hidden"), "{inherited}");
    assert!(server.folder().join("elsewhere/.manyhands").exists());
    let page = client.request(Method::GET, "/api/tools/").header("origin", "https://pages.example");
    let allowed = page.send().await.unwrap().headers().get("access-control-allow-origin").cloned();
    assert_eq!(allowed.unwrap(), "https://pages.example");

    assert_eq!(client.get_ok("/api/init").await, state("ready", Value::Null));
    let again = json!({ "detail": "server already in state: ready" });
    assert_eq!(tell(&server, Some("the user's own"), &settings).await, (400, again));
    assert_eq!(tell(&server, Some(BOOT_KEY), &settings).await.0, 401);
}

#[tokio::test]
async fn an_init_can_be_tried_again_after_it_failed() {
    let (_start, server) = dormant();
    for (settings, detail) in [
        (json!({ "session_api_keys": [""] }), "session_api_keys cannot contain empty keys"),
        (
            json!({ "max_concurrent_runs": 0 }),
            "OH_MAX_CONCURRENT_RUNS must be a whole number from 1 to 100000",
        ),
    ] {
        let (status, answer) = tell(&server, Some(BOOT_KEY), &settings).await;
        assert_eq!((status, answer["detail"].as_str()), (422, Some(detail)));
    }
    let (status, unknown) = tell(&server, Some(BOOT_KEY), &json!({ "session_api_key": KEY })).await;
    assert_eq!((status, &unknown["detail"][0]["type"]), (422, &json!("extra_forbidden")));

    std::fs::write(server.folder().join("file"), "in the way").unwrap();
    let impossible = json!({ "session_api_keys": [KEY], "conversations_path": "file/conversations" });
    let (status, failure) = tell(&server, Some(BOOT_KEY), &impossible).await;
    assert_eq!(status, 500);
    assert!(failure["error_id"].is_string() && !failure.to_string().contains("file/"), "{failure}");
    assert_eq!(server.client.get_ok("/api/init").await, state("dormant", failure["detail"].clone()));

    let possible = json!({ "session_api_keys": [KEY] });
    assert_eq!(tell(&server, Some(BOOT_KEY), &possible).await.0, 200);
    Client::new(&server.url, Some(KEY)).get_ok("/api/conversations/count").await;
}

#[tokio::test]
async fn a_dormant_server_ends_in_order_and_so_does_one_that_was_told() {
    let (_start, mut server) = dormant();
    assert!(server.terminate().success());
    let (_start, mut server) = dormant();
    assert_eq!(tell(&server, Some(BOOT_KEY), &json!({ "session_api_keys": [KEY] })).await.0, 200);
    assert!(server.terminate().success());
}

#[tokio::test]
async fn a_server_that_has_its_settings_says_so() {
    let server = Start::new(BINARY).with_key(KEY).start();
    let detail = json!({ "detail": "server is not running with deferred_init=True; the /api/init endpoint is not available" });
    assert_eq!(server.client.get("/api/init").await, (StatusCode::NOT_FOUND, detail.clone()));
    assert_eq!(tell(&server, None, &json!({})).await.0, 401);
    assert_eq!(tell(&server, Some(KEY), &json!({})).await, (404, detail));
}
