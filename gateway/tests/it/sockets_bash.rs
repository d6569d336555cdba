//! The socket of the bash events.

use crate::harness::noted::Noted;
use crate::harness::{Gateway, config, start};
use serde_json::{Value, json};
use testing::socket::Socket;
use types::{BashScope, LogId, SandboxId, subjects};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_sockets_on_a_bash_log_share_one_subscription() {
    let server = start().await;
    let mut ports = server.ports.clone();
    let noted = Noted::within(&mut ports);
    let replica = Gateway::start(ports, config()).await;
    let mut sockets = Vec::new();
    for n in 0..6 {
        let command = format!("of socket {n}");
        let mut socket = replica.socket("/sockets/bash-events").await;
        socket.send(json!({"command": command}).to_string()).await;
        socket.until(|frame| frame["command"] == command).await;
        sockets.push(socket);
    }
    for socket in &mut sockets[..5] {
        socket.until(|frame| frame["command"] == "of socket 5").await;
    }
    let subject = subjects::stored(&LogId::bash(&SandboxId::shared(), BashScope::Sandbox));
    assert_eq!(noted.listened(&subject), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_over_the_socket_is_echoed_before_its_output_to_all() {
    let server = start().await;
    let mut asker = server.socket("/sockets/bash-events").await;
    let mut other = server.socket("/sockets/bash-events").await;
    // What another socket asks for is only seen once both follow the log.
    loop {
        asker.send(json!({"command": "warm up"}).to_string()).await;
        if other.next_within(std::time::Duration::from_millis(50)).await.is_some() {
            break;
        }
    }
    asker.send(json!({"command": "the one", "timeout": 30}).to_string()).await;
    for socket in [&mut asker, &mut other] {
        let frames = socket.until(|frame| frame["command"] == "the one").await;
        let echo = &frames[frames.len() - 1];
        assert_eq!((&echo["kind"], &echo["cwd"]), (&json!("BashCommand"), &Value::Null));
        assert!(echo.as_object().unwrap().contains_key("cwd"));
        let is_of_it = |frame: &Value| frame["command_id"] == echo["id"];
        assert!(!frames.iter().any(is_of_it));
        // What is still to come of the others may stand before it.
        let output = socket.until(is_of_it).await.pop().unwrap();
        assert_eq!(output["kind"], "BashOutput");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_stored_is_sent_again_only_on_demand_and_then_once() {
    let server = start().await;
    for i in 0..30 {
        let body = json!({"command": format!("number {i}")});
        assert_eq!(server.post("/api/bash/start_bash_command", body).await.0, 200);
    }
    let commands = |frames: &[Value]| -> Vec<Value> {
        frames
            .iter()
            .filter(|frame| frame["kind"] == "BashCommand")
            .map(|frame| frame["command"].clone())
            .collect()
    };
    let mut all = server.socket("/sockets/bash-events?resend_mode=all").await;
    let frames = all.until(|frame| frame["command"] == "number 29").await;
    let wanted: Vec<_> = (0..30).map(|i| json!(format!("number {i}"))).collect();
    assert_eq!(commands(&frames), wanted);

    let mut live = server.socket("/sockets/bash-events").await;
    live.send("{}").await;
    live.until(|frame| frame["kind"] == "BashError").await;
    server.post("/api/bash/start_bash_command", json!({"command": "later"})).await;
    // Outputs of the others may still come in between.
    let frames = live.until(|frame| frame["command"] == "later").await;
    assert_eq!(commands(&frames), [json!("later")]);
    let frames = all.until(|frame| frame["command"] == "later").await;
    assert_eq!(commands(&frames), [json!("later")]);

    server.worker.clear_bash().await;
    server.post("/api/bash/start_bash_command", json!({"command": "after clearing"})).await;
    for socket in [&mut all, &mut live] {
        socket.until(|frame| frame["command"] == "after clearing").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_frames_are_answered_and_bad_wishes_refused() {
    let server = start().await;
    let mut socket = server.socket("/sockets/bash-events").await;
    for (frame, code) in [("not json", "JSONDecodeError"), (r#"{"nonsense":1}"#, "ValidationError")] {
        socket.send(frame).await;
        let answer = socket.next().await;
        assert_eq!((&answer["kind"], &answer["code"]), (&json!("BashError"), &json!(code)));
    }
    let url = format!("ws://{}/sockets/bash-events?resend_mode=nope", server.address);
    assert_eq!(Socket::refusal(&url).await, 403);
}
