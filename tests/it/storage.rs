//! A sandbox that stores all it may ends its own runs, and nobody else's.

use reqwest::StatusCode;
use serde_json::json;
use testing::client::Client;
use testing::eventually;
use testing::model::Model;
use testing::script::{Script, Turn};
use testing::server::Start;

const TURNS: usize = 200;
const PRINTS: &str = "head -c 25000 /dev/urandom | base64 -w 76";

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_without_room_ends_its_run_with_the_reason_and_others_go_on() {
    let floods = (0..TURNS).map(|turn| Turn::terminal(&format!("call_{turn}"), PRINTS)).collect();
    let scripts = vec![Script::new("[[flood]]", floods), Script::new("[[calm]]", vec![Turn::finish("done")])];
    let model = Model::start(0, scripts).await.unwrap();
    let start = Start::new(env!("CARGO_BIN_EXE_manyhands"))
        .with("OH_SANDBOX_POLICY", "conversation")
        .with("OH_SANDBOX_STORAGE_MIB", "1");
    let cluster = start.start_cluster();
    let client = Client::new(&cluster.url(), None);
    let directory = start.folder().join("workspace/project").display().to_string();
    let flooding = client.create(&model.base_url(), &directory).await;
    client.send(&flooding, "[[flood]]", true).await;
    client.wait_for_status(&flooding, "error").await;
    let events = client.events(&flooding).await;
    let error = events.iter().find(|event| event["kind"] == "ConversationErrorEvent").unwrap();
    assert_eq!(error["code"], "StorageFull");
    assert!(error["detail"].as_str().unwrap().contains("1 MiB"), "{error}");
    let message =
        json!({"role": "user", "content": [{"type": "text", "text": "more ".repeat(20_000)}], "run": false});
    // The other gateway may have some of its portion left.
    let path = format!("/api/conversations/{flooding}/events");
    let refused = eventually("a message is refused", async || {
        let (status, answer) = client.post(&path, &message).await;
        (status != StatusCode::OK).then_some((status, answer))
    });
    let (status, answer) = refused.await;
    assert_eq!(status, StatusCode::INSUFFICIENT_STORAGE, "{answer}");
    assert!(answer["detail"].as_str().unwrap().contains("1 MiB"), "{answer}");

    let calm = client.create(&model.base_url(), &directory).await;
    client.send(&calm, "[[calm]]", true).await;
    client.wait_for_status(&calm, "finished").await;

    let flood = json!({ "command": "head -c 3000000 /dev/urandom | base64 -w 76; sleep 100", "timeout": 90 });
    let output = client.post_ok("/api/bash/execute_bash_command", &flood).await;
    assert_eq!(output["exit_code"], -1);
    assert!(output["stderr"].as_str().unwrap().contains("1 MiB"), "{}", output["stderr"]);
    let (status, _) = client.delete("/api/bash/bash_events").await;
    assert_eq!(status, StatusCode::OK);
    let output = client.post_ok("/api/bash/execute_bash_command", &json!({ "command": "echo again" })).await;
    assert_eq!(output["stdout"], "again\n");
}

/// Forks are stored by gateways, each of which may have a portion that it has not told the other of.
#[tokio::test(flavor = "multi_thread")]
async fn however_often_a_conversation_is_forked_its_sandbox_stores_no_more_than_it_may() {
    const MIB: usize = 1 << 20;
    let model = Model::start(0, Vec::new()).await.unwrap();
    let start = Start::new(env!("CARGO_BIN_EXE_manyhands"))
        .with("OH_SANDBOX_POLICY", "conversation")
        .with("OH_SANDBOX_STORAGE_MIB", "2");
    let cluster = start.start_cluster();
    let client = Client::new(&cluster.url(), None);
    let directory = start.folder().join("workspace/project").display().to_string();
    let source = client.create(&model.base_url(), &directory).await;
    let text = "word ".repeat(20_000);
    for _ in 0..10 {
        client.send(&source, &text, false).await;
    }
    let fork = format!("/api/conversations/{source}/fork");
    let (mut made, mut refused) = (0, 0);
    for at in 0..40 {
        match client.post(&fork, &json!({})).await.0 {
            StatusCode::CREATED => made += 1,
            StatusCode::INSUFFICIENT_STORAGE => refused += 1,
            status => panic!("{status} for the fork number {at}"),
        }
    }
    let most = (2 + 2) * MIB / (10 * text.len());
    assert!(refused > 0 && (1 + made) <= most, "{made} forks, {refused} refused");
}
