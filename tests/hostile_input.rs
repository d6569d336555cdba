//! Bad input gets a clear answer; bad commands leave nothing behind.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by a panic")]

use serde_json::{Value, json};
use testing::eventually;
use testing::model::Model;
use testing::script::{Script, Turn};
use testing::server::Start;

const BINARY: &str = env!("CARGO_BIN_EXE_manyhands");

#[tokio::test]
async fn invalid_utf8_of_a_command_becomes_replacement_characters_and_good_letters_stay() {
    let server = Start::new(BINARY).start();
    let request = json!({ "command": "printf 'a\\377b'; i=0; while [ $i -lt 40000 ]; do printf 'é'; i=$((i+1)); done" });
    let output = server.client.post_ok("/api/bash/execute_bash_command", &request).await;
    let text = output["stdout"].as_str().unwrap();
    assert!(text.starts_with("a\u{fffd}b"), "{:?}", &text[..8]);
    assert_eq!(text.matches('é').count(), 40_000);
    assert_eq!(text.matches('\u{fffd}').count(), 1);
}

#[tokio::test]
async fn invalid_utf8_in_a_request_is_refused() {
    let server = Start::new(BINARY).start();
    let request = server.client.request(reqwest::Method::POST, "/api/conversations");
    let bytes = b"{\"workspace\": {\"working_dir\": \"\xff\xfe\"}}".to_vec();
    let response = request.header("content-type", "application/json").body(bytes).send().await.unwrap();
    assert_eq!(response.status(), 422);
    let answer: Value = response.json().await.unwrap();
    assert!(answer["detail"].is_array() || answer["detail"].is_string(), "{answer}");
}

#[tokio::test]
async fn a_conversations_file_routes_do_not_leave_its_workspace() {
    let server = Start::new(BINARY).start();
    let work = server.folder().join("w");
    let id = server.client.create("http://127.0.0.1:9/v1", &work.display().to_string()).await;
    std::fs::write(server.folder().join("outside.txt"), "outside").unwrap();
    std::os::unix::fs::symlink(server.folder(), work.join("link")).unwrap();
    let root = work.display();
    for path in
        [format!("{root}/../outside.txt"), format!("{root}/link/outside.txt"), "/etc/passwd".to_owned()]
    {
        let (status, answer) =
            server.client.get(&format!("/api/conversations/{id}/file/download?path={path}")).await;
        assert_eq!(status, 422, "{path}: {answer}");
    }
    for path in ["..%2f..%2foutside.txt", "%2e%2e/outside.txt", "link/outside.txt"] {
        let (status, answer) = server.client.get(&format!("/api/conversations/{id}/workspace/{path}")).await;
        assert!(status == 400 || status == 404, "{path}: {status} {answer}");
        assert_ne!(answer, json!("outside"), "{path}");
    }
    let (status, _) = server.client.get("/api/file/download?path=relative.txt").await;
    assert_eq!(status, 400);
}

fn alive(pid: &str) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    state.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

#[tokio::test]
async fn children_that_a_timed_out_command_leaves_behind_are_ended() {
    let server = Start::new(BINARY).start();
    let note = server.folder().join("pid");
    let command = format!("sleep 600 & echo $! > {}; wait", note.display());
    let request = json!({ "command": command, "timeout": 1 });
    let output = server.client.post_ok("/api/bash/execute_bash_command", &request).await;
    assert_eq!(output["exit_code"], -1);
    let pid = std::fs::read_to_string(note).unwrap();
    eventually("the child has ended", || async { (!alive(pid.trim())).then_some(()) }).await;
}

#[tokio::test]
async fn children_of_an_agents_terminal_end_with_its_conversation() {
    let script = Script::new(
        "[[child]]",
        vec![Turn::terminal("call_1", "sleep 600 & echo $! > pid"), Turn::finish("done")],
    );
    let model = Model::start(0, vec![script]).await.unwrap();
    let server = Start::new(BINARY).start();
    let work = server.folder().join("w");
    let id = server.client.create(&model.base_url(), &work.display().to_string()).await;
    server.client.send(&id, "[[child]]", true).await;
    server.client.wait_for_status(&id, "finished").await;
    let pid = std::fs::read_to_string(work.join("pid")).unwrap();
    assert!(alive(pid.trim()));
    let (status, _) = server.client.delete(&format!("/api/conversations/{id}")).await;
    assert!(status.is_success());
    eventually("the child has ended", || async { (!alive(pid.trim())).then_some(()) }).await;
    assert!(work.exists(), "the workspace stays");
}

#[tokio::test]
async fn the_servers_keys_are_out_of_reach_of_commands_and_agents() {
    let server = Start::new(BINARY).with_key("canary-session").with("OH_SECRET_KEY", "canary-secret").start();
    let spy = "env; tr '\\0' '\\n' < /proc/$PPID/environ; cat /proc/$PPID/fd/0 2>&1 < /dev/null";
    let output = server.client.post_ok("/api/bash/execute_bash_command", &json!({ "command": spy })).await;
    assert!(!output.to_string().contains("canary"), "{output}");
}
