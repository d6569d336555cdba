//! A cluster whose workers are containers without a network: gateways, supervisor, NATS and the door are processes.
//! `environment.sh` makes sure of Docker.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by a panic")]

mod canaries;
mod hostile;
mod own_files;

use serde_json::{Value, json};
use testing::client::Client;
use testing::server::{Server, Start};

const PROJECT: &str = "/workspace/project";

/// A container for each conversation.
fn a_container_each() -> Server {
    let start = Start::new(env!("CARGO_BIN_EXE_manyhands")).with_key("session-key");
    start.with("OH_SANDBOX_POLICY", "conversation").start_containers()
}

/// What a command prints that a client runs, in a conversation's sandbox or the tenant's default one.
async fn run(client: &Client, conversation: Option<&str>, command: &str) -> Value {
    let base = conversation.map_or("/api".to_owned(), |id| format!("/api/conversations/{id}"));
    let request = json!({ "command": command, "timeout": 60 });
    client.post_ok(&format!("{base}/bash/execute_bash_command"), &request).await
}

async fn printed(client: &Client, conversation: Option<&str>, command: &str) -> String {
    let output = run(client, conversation, command).await;
    assert_eq!(output["exit_code"], 0, "{command}: {output}");
    output["stdout"].as_str().unwrap_or_default().to_owned()
}
