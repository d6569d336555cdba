//! MCP servers are tried out.

use bytes::Bytes;
use ports::rpc::{self, Address, Call, Limits};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use types::SandboxId;
use types::calls::{McpCall, McpProbed};
use types::mcp::{McpFailure, McpFailureKind, McpFound};

use super::fake::{Fake, Way};
use super::{post, test};
use crate::harness::{Server, start};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_works_lists_its_tools_and_is_left_in_order() {
    let server = start().await;
    for way in [Way::Plain, Way::Streams] {
        let fake = Fake::start(way).await;
        let answer = test(&server, json!({"server": {"url": fake.url()}})).await;
        assert_eq!(answer, json!({"ok": true, "tools": ["add", "fail", "show"]}));
        let headers = fake.headers();
        assert!(headers[0].get("mcp-session-id").is_none());
        for later in &headers[1..] {
            assert_eq!(later["mcp-session-id"], "s1");
            assert_eq!(later["mcp-protocol-version"], "2025-06-18");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tool_that_fails_is_no_failed_test() {
    let server = start().await;
    let fake = Fake::start(Way::Plain).await;
    let call = async |name: &str| {
        let call = json!({"name": name, "arguments": {"a": 1}});
        let answer = test(&server, json!({"server": {"url": fake.url()}, "tool_call": call})).await;
        assert_eq!(answer["ok"], true, "{answer}");
        answer["tool_result"].clone()
    };
    assert_eq!(call("add").await, json!({"is_error": false, "text": "1"}));
    assert_eq!(call("fail").await, json!({"is_error": true, "text": "it cannot"}));
    let unknown = "Tool 'other' not advertised by server (available: add, fail, show)";
    assert_eq!(call("other").await, json!({"is_error": true, "text": unknown}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_mcp_server_that_hangs_is_told() {
    let server = start().await;
    let fake = Fake::start(Way::Hangs).await;
    let answer = test(&server, json!({"server": {"url": fake.url()}, "timeout": 0.2})).await;
    let told = json!({"ok": false, "error": "The server did not list its tools within 0.2 seconds.",
        "error_kind": "timeout"});
    assert_eq!(answer, told);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_of_a_server_is_in_an_answer() {
    let server = start().await;
    let headers = json!({"X-Key": "marked-words"});
    let fake = Fake::start(Way::Echoes).await;
    let refused = test(&server, json!({"server": {"url": fake.url(), "headers": headers}})).await;
    assert_eq!(refused["ok"], false);
    assert!(refused["error"].as_str().unwrap().contains("you said"), "{refused}");
    let fake = Fake::start(Way::Plain).await;
    let call = json!({"name": "show"});
    let shown =
        test(&server, json!({"server": {"url": fake.url(), "headers": headers}, "tool_call": call})).await;
    assert_eq!(shown["tool_result"]["text"], "**********");
    assert!(!format!("{refused} {shown}").contains("marked-words"), "{refused} {shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_client_was_given_sealed_is_opened_and_a_mask_stands_for_nothing() {
    let server = start().await;
    let kept = json!({"url": "http://x", "headers": {"X-Key": "marked-words"}});
    let (status, _) = post(&server, "/api/settings/mcp/s1", kept).await;
    assert_eq!(status, 201);
    let settings =
        server.request(reqwest::Method::GET, "/api/settings").header("x-expose-secrets", "encrypted");
    let settings: serde_json::Value = settings.send().await.unwrap().json().await.unwrap();
    let token = settings.pointer("/agent_settings/mcp_config/s1/headers/X-Key").unwrap();
    assert!(token.as_str().unwrap().starts_with("gAAAAA"), "{token}");
    let fake = Fake::start(Way::Plain).await;
    let headers = json!({"X-Key": token, "X-Other": "**********"});
    test(&server, json!({"server": {"url": fake.url(), "headers": headers}})).await;
    let shown = &fake.headers()[0];
    assert_eq!(shown["x-key"], "marked-words");
    assert!(shown.get("x-other").is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a10_an_mcp_server_at_a_metadata_address_is_not_called() {
    let server = start().await;
    for url in ["http://169.254.169.254/latest/meta-data?token=marked", "file:///etc/passwd"] {
        let answer = test(&server, json!({"server": {"url": url}})).await;
        assert_eq!((&answer["ok"], &answer["error_kind"]), (&json!(false), &json!("connection")));
        assert!(!answer.to_string().contains("marked") && !answer.to_string().contains("passwd"), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_is_for_the_server_that_the_user_has_named_alone() {
    let server = start().await;
    let elsewhere = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let fake = Fake::start(Way::Leads(elsewhere.local_addr().unwrap().port())).await;
    let secret = json!({"X-Key": "marked-words"});
    let answer = test(&server, json!({"server": {"url": fake.url(), "headers": secret}})).await;
    assert_eq!(answer["error"], "The server answered HTTP 307.");
    let sse = json!({"url": format!("{}/sse", fake.address), "transport": "sse", "headers": secret});
    let answer = test(&server, json!({ "server": sse })).await;
    assert_eq!(answer["error"], "The server does not speak the Model Context Protocol.");
    let nobody = std::future::poll_fn(|context| match elsewhere.poll_accept(context) {
        std::task::Poll::Pending => std::task::Poll::Ready(true),
        std::task::Poll::Ready(_) => std::task::Poll::Ready(false),
    });
    assert!(nobody.await, "another server was called");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_for_more_trials_than_there_are_at_once_is_told_so() {
    let server = start().await;
    let fake = Fake::start(Way::Hangs).await;
    let body = json!({"server": {"url": fake.url()}, "timeout": 10});
    let trials: Vec<_> = (0..4)
        .map(|_| server.request(reqwest::Method::POST, "/api/mcp/test").json(&body).send())
        .map(tokio::spawn)
        .collect();
    testing::until(async || fake.asked().len() == 4).await;
    assert_eq!(post(&server, "/api/mcp/test", body.clone()).await.0, 429);
    trials.iter().for_each(tokio::task::JoinHandle::abort);
    // Who has gone away gives the place back.
    testing::until(async || {
        let quick = json!({"server": {"url": fake.url()}, "timeout": 0.01});
        post(&server, "/api/mcp/test", quick).await.0 == 200
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trial_leaves_no_connection_behind() {
    let server = start().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let hung_up = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut asked = vec![0; 8 << 10];
        assert!(stream.read(&mut asked).await.unwrap() > 0);
        stream.write_all(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        while stream.read(&mut asked).await.unwrap() > 0 {}
    });
    assert_eq!(test(&server, json!({"server": {"url": url}})).await["ok"], false);
    tokio::time::timeout(testing::PATIENCE, hung_up).await.unwrap().unwrap();
}

/// A worker that answers for each program by its name.
async fn with_programs(server: &Server) {
    let calls = rpc::Server::new(server.ports.bus.clone(), TaskTracker::new(), CancellationToken::new());
    let answer = |call: Call<McpCall>| async move {
        let McpCall::Probe { program, .. } = call.body;
        let env = program.env.get("KEY").cloned().unwrap_or_default();
        let answer = match program.command.as_str() {
            "works" => McpProbed::Found(McpFound { tools: program.args, tool_result: None }),
            _ => {
                McpProbed::Failed(McpFailure { kind: McpFailureKind::Unknown, error: format!("with {env}") })
            }
        };
        Ok((answer, Bytes::new()))
    };
    let address = Address::of_worker(&SandboxId::shared(), None);
    calls.serve(&address, None, Limits::new(8, 1 << 20), answer).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_a_program_is_tried_by_the_worker() {
    let server = start().await;
    with_programs(&server).await;
    let works = json!({"server": {"type": "stdio", "command": "works", "args": ["a", "b"]}});
    assert_eq!(test(&server, works).await, json!({"ok": true, "tools": ["a", "b"]}));
    let fails = json!({"server": {"command": "fails", "env": {"KEY": "marked-words"}}});
    let told = json!({"ok": false, "error": "with **********", "error_kind": "unknown"});
    assert_eq!(test(&server, fails).await, told);
}
