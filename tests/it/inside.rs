//! What clients of a cluster are told while NATS is gone: that it cannot be done now, and nothing of the inside.

use reqwest::{Method, StatusCode};
use serde_json::json;
use testing::client::{Client, conversation, message};
use testing::model::Model;
use testing::server::Start;

/// What stands in the errors of NATS, of sockets and of the names on the bus.
const INSIDE: [&str; 9] =
    ["NATS", "nats", "JetStream", "mh.", "$KV", "$JS", "127.0.0.1", "os error", "_INBOX"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_learn_nothing_of_the_inside_while_nats_is_gone() {
    let start = Start::new(env!("CARGO_BIN_EXE_manyhands"));
    let mut cluster = start.start_cluster();
    let project = cluster.workspaces().join("project");
    let model = Model::start(0, Vec::new()).await.unwrap();
    let client = Client::new(&cluster.url(), None);
    let body = conversation(&model.base_url(), &project.to_string_lossy());
    let id = client.post_ok("/api/conversations", &body).await["id"].as_str().unwrap().to_owned();
    client.send(&id, "hello", false).await;
    assert_eq!(client.printed(None, "echo here").await.trim(), "here");

    cluster.nats.kill().await;
    let known = format!("/api/conversations/{id}");
    let command = json!({ "command": "true" });
    let mut calls = vec![
        (Method::POST, "/api/conversations".to_owned(), body),
        (Method::POST, format!("{known}/events"), message("more", false)),
        (Method::POST, format!("{known}/run"), json!({})),
        (Method::POST, format!("{known}/pause"), json!({})),
        (Method::PATCH, known.clone(), json!({ "title": "t" })),
        (Method::POST, "/api/bash/execute_bash_command".to_owned(), command.clone()),
        (Method::POST, "/api/bash/start_bash_command".to_owned(), command),
        (Method::DELETE, known.clone(), json!(null)),
    ];
    for path in ["/api/bash/bash_events/search", "/api/file/home", "/api/git/changes?path=."] {
        calls.push((Method::GET, path.to_owned(), json!(null)));
    }
    calls.push((Method::GET, format!("{known}/events/search"), json!(null)));
    let mut unavailable = 0;
    for (method, path, body) in calls {
        let request = client.request(method.clone(), &path);
        let request = if body.is_null() { request } else { request.json(&body) };
        let response = request.send().await.unwrap();
        let (status, answer) = (response.status(), response.text().await.unwrap());
        for part in INSIDE {
            assert!(!answer.contains(part), "{method} {path}: {status} {answer}");
        }
        assert_ne!(status, StatusCode::INTERNAL_SERVER_ERROR, "{method} {path}: {answer}");
        unavailable += usize::from(status == StatusCode::SERVICE_UNAVAILABLE);
    }
    assert!(unavailable >= 5, "{unavailable} calls needed NATS");
}
