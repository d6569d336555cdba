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

/// With neither key nor tokens.
fn open() -> (Start, Server) {
    let start = Start::new(BINARY).with("OH_DEFERRED_INIT", "true");
    let server = start.start();
    (start, server)
}

fn state(state: &str, error: Value) -> Value {
    json!({ "state": state, "error": error })
}

#[tokio::test]
async fn a_dormant_server_answers_probes_says_what_it_is_and_does_nothing_else() {
    let (_start, server) = dormant();
    for (path, status) in [("/alive", "ok"), ("/health", "ok"), ("/ready", "ready")] {
        assert_eq!(server.client.get_ok(path).await, json!({ "status": status }), "{path}");
    }
    assert_eq!(server.client.get_ok("/api/init").await, state("dormant", Value::Null));
    for path in ["/server_info", "/"] {
        let told = server.client.get_ok(path).await;
        assert!(told["capabilities"].as_array().is_some_and(|all| !all.is_empty()), "{told}");
    }
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
    // Who may not read it at all learns nothing either.
    let environment = std::fs::read(format!("/proc/{}/environ", server.pid())).unwrap_or_default();
    let environment = String::from_utf8_lossy(&environment);
    assert!(!["TOLD", BOOT_KEY].iter().any(|told| environment.contains(told)), "{environment}");
    assert!(server.folder().join("elsewhere/.manyhands").exists());
    let page = client.request(Method::GET, "/api/tools/").header("origin", "https://pages.example");
    let allowed = page.send().await.unwrap().headers().get("access-control-allow-origin").cloned();
    assert_eq!(allowed.unwrap(), "https://pages.example");

    assert_eq!(client.get_ok("/api/init").await, state("ready", Value::Null));
    let again = json!({ "detail": "server already in state: ready" });
    assert_eq!(tell(&server, Some("the user's own"), &settings).await, (400, again));
    assert_eq!(tell(&server, Some(BOOT_KEY), &settings).await.0, 401);
}

#[test]
fn bearer_tokens_alone_do_not_guard_a_server_that_waits() {
    let start = Start::new(BINARY)
        .with("OH_DEFERRED_INIT", "true")
        .with("OH_JWT_ALGORITHM", "HS256")
        .with("OH_JWT_SECRET", &"s".repeat(32))
        .with("OH_JWT_ISSUER", "i")
        .with("OH_JWT_AUDIENCE", "a");
    let output = start.command().output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(64), "{said}");
    assert!(said.contains("OH_DEFERRED_INIT needs OH_SECRET_KEY or a session key"), "{said}");
}

#[tokio::test]
async fn a_page_cannot_tell_an_open_server_its_settings() {
    let (_start, server) = open();
    for (header, value) in [("origin", "https://evil.example"), ("host", "evil.example")] {
        // As a page sends it that asks nobody before.
        let body = json!({ "session_api_keys": ["of the page"] }).to_string();
        let request = server.client.request(Method::POST, "/api/init").header(header, value).body(body);
        assert_eq!(request.send().await.unwrap().status(), 403, "{header}");
    }
    assert_eq!(server.client.get_ok("/api/init").await, state("dormant", Value::Null));
    assert_eq!(tell(&server, None, &json!({})).await.0, 200);
}

#[tokio::test]
async fn settings_without_a_key_are_refused_by_a_server_beyond_loopback() {
    let start = Start::new(BINARY).with("OH_DEFERRED_INIT", "true").listening_on("0.0.0.0");
    assert!(!start.command().output().unwrap().status.success(), "nobody could say who its user is");
    let server = start.with("OH_SECRET_KEY", BOOT_KEY).start();
    let (status, answer) = tell(&server, Some(BOOT_KEY), &json!({})).await;
    assert_eq!(status, 422, "{answer}");
    assert!(answer["detail"].as_str().unwrap().contains("without a session key"), "{answer}");
    assert_eq!(tell(&server, Some(BOOT_KEY), &json!({ "session_api_keys": [KEY] })).await.0, 200);
}

#[tokio::test]
async fn the_value_of_a_variable_is_said_to_nobody() {
    let (_start, server) = open();
    for settings in [
        json!({ "env": { "OH_PASS_ENV": r#"["GH_TOKEN=marked-value"]"# } }),
        json!({ "env": { "OH_FSYNC": "marked-value" } }),
        json!({ "env": { "OH_REGISTERED_MARKETPLACES": r#"[{"name": "n", "source": "https://marked-value@h/r"}]"# } }),
    ] {
        let (status, answer) = tell(&server, None, &settings).await;
        assert_eq!(status, 422, "{answer}");
        let state = server.client.get_ok("/api/init").await;
        assert!(!format!("{answer} {state}").contains("marked-value"), "{answer} {state}");
    }
}

#[tokio::test]
async fn variables_with_which_no_program_could_start_are_refused() {
    let (_start, server) = open();
    let large = |count: usize, size: usize| {
        let all = (0..count).map(|at| (format!("LARGE_{at}"), "v".repeat(size).into()));
        json!({ "env": all.collect::<serde_json::Map<String, Value>>() })
    };
    for settings in [large(1, 64 << 10), large(5, 60 << 10)] {
        assert_eq!(tell(&server, None, &settings).await.0, 422);
    }
    let mut settings = large(3, 63 << 10);
    settings["env"]["OH_DEFERRED_INIT"] = "false".into();
    assert_eq!(tell(&server, None, &settings).await.0, 200);
    assert_eq!(server.client.printed(None, "echo ${#LARGE_2}").await.trim(), (63 << 10).to_string());
    assert_eq!(server.client.get_ok("/api/init").await, state("ready", Value::Null), "it has waited");
}

#[tokio::test]
async fn a_start_that_fails_after_parts_of_it_run_ends_the_server_and_says_so() {
    let (_start, mut server) = open();
    // Where a record is expected that can be read.
    std::fs::create_dir_all(server.folder().join("workspace/.manyhands/kv/CONVERSATIONS/0123")).unwrap();
    let (status, failure) = tell(&server, None, &json!({})).await;
    let ends = "The server cannot start with these settings, and ends; its log says why";
    assert_eq!((status, failure["detail"].as_str()), (500, Some(ends)));
    assert!(!server.terminate().success(), "it had ended, with an error");
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
