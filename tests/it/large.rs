//! What is more than the server takes at once is refused in the same words whether it is one process or a cluster.

use reqwest::StatusCode;
use serde_json::{Value, json};
use testing::client::{Client, conversation, message};
use testing::model::Model;
use testing::server::Start;

/// Below what requests may have, above what the parts of a cluster may send each other.
const TOO_LARGE: usize = 9 << 20;
const LARGE: usize = 7 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_process_refuses_what_a_cluster_could_not_send() {
    let start = Start::new(env!("CARGO_BIN_EXE_manyhands"));
    let server = start.start();
    refuses_what_is_too_large(&server.client, &server.project().to_string_lossy()).await;
}

#[cfg(feature = "cluster")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_refuses_what_it_cannot_send() {
    let start = Start::new(env!("CARGO_BIN_EXE_manyhands"));
    let cluster = start.start_cluster();
    let project = cluster.workspaces().join("project");
    refuses_what_is_too_large(&Client::new(&cluster.url(), None), &project.to_string_lossy()).await;
}

fn image(bytes: usize) -> Value {
    json!({ "type": "image", "image_urls": [format!("data:image/png;base64,{}", "A".repeat(bytes))] })
}

async fn refuses_what_is_too_large(client: &Client, directory: &str) {
    let model = Model::start(0, Vec::new()).await.unwrap();
    let mut body = conversation(&model.base_url(), directory);
    let id = client.post_ok("/api/conversations", &body).await["id"].as_str().unwrap().to_owned();
    let events = format!("/api/conversations/{id}/events");

    let mut large = message("look", false);
    large["content"] = json!([{ "type": "text", "text": "look" }, image(TOO_LARGE)]);
    body["initial_message"] = json!({ "role": "user", "content": large["content"], "run": false });
    for (path, body) in [(events.as_str(), &large), ("/api/conversations", &body)] {
        let (status, answer) = client.post(path, body).await;
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{path}: {answer}");
        assert!(answer["detail"].as_str().unwrap().contains("8 MiB"), "{path}: {answer}");
    }
    assert_eq!(client.get_ok("/api/conversations/count").await, 1);

    large["content"][1] = image(LARGE);
    client.post_ok(&events, &large).await;
    let stored = client.events(&id).await;
    let length = |event: &Value| event["llm_message"]["content"][1]["image_urls"][0].as_str().map(str::len);
    let found = stored.iter().find_map(length);
    assert!(found.is_some_and(|length| length > LARGE), "{found:?}");
}
